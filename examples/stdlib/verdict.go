package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// totals shows what the tasks wrote, and what the scheduler's own table says of them.
func (d *demo) totals(ctx context.Context) error {
	d.screen.say("")
	for _, query := range []string{queryTotals, queryLargest, queryTasks} {
		rows, err := d.conn.Query(ctx, query)
		if err != nil {
			return err
		}
		header, body, err := table(rows)
		if err != nil {
			return err
		}
		d.screen.query(query, header, body)
	}
	return nil
}

// table reads all rows as text. Columns of numbers are told apart by their values' types.
func table(rows pgx.Rows) (header []string, body [][]cell, err error) {
	for _, field := range rows.FieldDescriptions() {
		header = append(header, field.Name)
	}
	defer rows.Close()
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return nil, nil, err
		}
		line := make([]cell, len(values))
		for i, value := range values {
			line[i] = cellOf(value)
		}
		body = append(body, line)
	}
	return header, body, rows.Err()
}

// comparison holds the tasks' counts against the walk over the files.
type comparison struct {
	Packages int
	Files    int
	Lines    int
	Lost     int
	Twice    int
	Wrong    int
}

// verdict compares what the tasks wrote with what is on the disk. Anything but a perfect match is an error.
func (d *demo) verdict(ctx context.Context) error {
	c, err := one[comparison](ctx, d.conn, compare)
	if err != nil {
		return err
	}
	if c.Wrong == 0 && c.Lost == 0 && c.Twice == 0 {
		d.screen.say("each of the %s packages, %s files and %s lines that the walk found was counted by a task, once",
			number(c.Packages), number(c.Files), number(c.Lines))
	}
	d.screen.say("lost %d, counted twice %d", c.Lost, c.Twice)
	if c.Lost+c.Twice+c.Wrong > 0 {
		return fmt.Errorf("the tables do not match: %d packages lost, %d counted twice, %d counted wrongly", c.Lost, c.Twice, c.Wrong)
	}
	return nil
}
