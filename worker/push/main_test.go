package push

import (
	"testing"

	"github.com/pgscheduler/scheduler/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }
