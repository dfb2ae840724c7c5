package door

import (
	"context"

	"github.com/pgscheduler/scheduler/httpapi"
	"github.com/pgscheduler/scheduler/scheduler"
)

func (d *sqlDoor) BeginBulk(ctx context.Context, request httpapi.BulkRequest) (httpapi.Bulk, error) {
	b, err := d.client.BeginBulk(ctx, request.Verb, request.Filter.NewFilter(), request.Reason)
	return httpapi.NewBulk(b), err
}

func (d *sqlDoor) Bulk(ctx context.Context, id string) (httpapi.Bulk, error) {
	parsed, err := scheduler.ParseBulkID(id)
	if err != nil {
		return httpapi.Bulk{}, err
	}
	if err := d.client.DoBulk(ctx, parsed); err != nil {
		return httpapi.Bulk{}, err
	}
	b, err := d.client.Bulk(ctx, parsed)
	return httpapi.NewBulk(b), err
}

func (d *sqlDoor) Dead(ctx context.Context, queue, kind string) (httpapi.DeadGroups, error) {
	list, err := d.client.DeadGroups(ctx, scheduler.Queue(queue), kind)
	return httpapi.NewDeadGroups(list), err
}
