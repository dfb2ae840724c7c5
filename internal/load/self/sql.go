package self

import _ "embed"

var (
	//go:embed sql/analyze.sql
	sqlAnalyze string
	//go:embed sql/clear.sql
	sqlClear string
	//go:embed sql/drop.sql
	sqlDrop string
	//go:embed sql/fill.sql
	sqlFill string
	//go:embed sql/foreign.sql
	sqlForeign string
	//go:embed sql/lock.sql
	sqlLock string
	//go:embed sql/make.sql
	sqlMake string
	//go:embed sql/mark.sql
	sqlMark string
	//go:embed sql/pages.sql
	sqlPages string
	//go:embed sql/schema.sql
	sqlSchema string
	//go:embed sql/unfinished.sql
	sqlUnfinished string
	//go:embed sql/unfinished_all.sql
	sqlUnfinishedAll string
	//go:embed sql/vacuum.sql
	sqlVacuum string
	//go:embed sql/visitors.sql
	sqlVisitors string
)
