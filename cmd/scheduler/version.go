package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/pgscheduler/scheduler/scheduler"
)

// release is set by the linker for released binaries; "": what the Go toolchain recorded.
var release string

// build is what a binary knows of itself.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision"` // of the source; "": unknown
	Modified bool   `json:"modified"` // the source differed from the revision
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Schema   int64  `json:"schema"` // version that it works with
}

func version() build {
	b := build{Version: release, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Schema: scheduler.SchemaVersion}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	if b.Version == "" || b.Version == "(devel)" {
		b.Version = "devel"
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version of this binary and of the schema that it works with",
		Example: `  scheduler version
  scheduler version -o json`,
		Args: takes(0, 0),
		RunE: func(*cobra.Command, []string) error {
			b := version()
			if a.screen.JSON {
				return a.screen.PrintJSON(b)
			}
			revision := b.Revision
			if revision != "" && b.Modified {
				revision += " (modified)"
			}
			return a.screen.Fields([2]string{"scheduler", b.Version}, [2]string{"revision", revision}, [2]string{"schema", fmt.Sprint(b.Schema)},
				[2]string{"go", b.Go}, [2]string{"platform", b.Platform})
		},
	}
}
