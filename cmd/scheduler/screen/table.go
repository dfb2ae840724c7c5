package screen

import (
	"bytes"
	"fmt"
	"strings"
	"text/tabwriter"
)

// Table lines up rows under a header. Put the column that may be long or hold any characters last: on a terminal lines are
// cut at its right edge, cells before the last at cellWidth, so that one long name does not push every row apart, and
// tabwriter takes every character for one column wide.
type Table struct {
	screen *Screen
	buffer bytes.Buffer
	tabs   *tabwriter.Writer
}

// cellWidth is enough for an id.
const cellWidth = 36

// Table returns an empty table with a header.
func (s *Screen) Table(header ...string) *Table {
	t := &Table{screen: s}
	t.tabs = tabwriter.NewWriter(&t.buffer, 0, 0, 2, ' ', 0)
	t.Row(header...)
	return t
}

// Row adds a row; each cell is cleaned, an empty one shown as "-".
func (t *Table) Row(cells ...string) {
	for i, cell := range cells {
		if cell == "" {
			cell = "-"
		}
		cells[i] = Clean(cell)
		if t.screen.Interactive() && i < len(cells)-1 {
			cells[i] = Cut(cells[i], cellWidth)
		}
	}
	fmt.Fprintln(t.tabs, strings.Join(cells, "\t")) //nolint:errcheck // into memory
}

// Flush writes what was added since the last Flush.
func (t *Table) Flush() error {
	if err := t.tabs.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(t.buffer.String()) {
		line = strings.TrimRight(line, " \n")
		if t.screen.Interactive() {
			line = Cut(line, t.screen.OutColumns())
		}
		if err := t.screen.PrintRaw(line); err != nil {
			return err
		}
	}
	t.buffer.Reset() // the next rows are another part of the same table
	return nil
}

// Fields writes names and values in two columns, as for one thing of which all is shown. Pairs with an empty value are
// left out. Values are cleaned and not cut.
func (s *Screen) Fields(pairs ...[2]string) error {
	width := 0
	for _, p := range pairs {
		if p[1] != "" {
			width = max(width, len(p[0]))
		}
	}
	for _, p := range pairs {
		if p[1] == "" {
			continue
		}
		if err := s.Printf("%-*s  %s", width, p[0], p[1]); err != nil {
			return err
		}
	}
	return nil
}
