package ui

import (
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// The page shows what scheduler doctor finds wrong, and nothing else.
func TestFindings(t *testing.T) {
	t.Parallel()
	now := time.Now()
	well := scheduler.Health{ServerVersionNum: 150001, Fsync: "on", SynchronousCommit: "on", Clock: now, LiveWorkers: 1}
	if found := amiss(well.Findings(now, now)); len(found) != 0 {
		t.Errorf("%+v", found)
	}
	ill := well
	ill.Standby, ill.PromotionLateMS = true, 6000
	found := amiss(ill.Findings(now, now))
	if len(found) != 2 || found[0] != (finding{Level: "bad", Sentence: "Primary: it is a standby, which takes no writes.",
		Detail: "Connect to the primary, for example with target_session_attrs=read-write."}) || found[1].Level != "warn" {
		t.Errorf("%+v", found)
	}
	list := checks(ill.Findings(now, now))
	if len(list) != len(ill.Findings(now, now)) || list[0] != (check{"fail", "primary", "it is a standby, which takes no writes", "Connect to the primary, for example with target_session_attrs=read-write."}) ||
		list[1].Status != "warn" || list[2].Status != "ok" || list[2].Fix != "" {
		t.Errorf("%+v", list)
	}
}
