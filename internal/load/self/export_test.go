package self

import (
	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/sql"
)

// LeaseStatement is what the backlog explains.
var LeaseStatement = sql.Lease

// LeaseArguments is with how many arguments.
var LeaseArguments = len(leaseArguments(scheduler.NewWorkerID(), scheduler.DefaultQueue))
