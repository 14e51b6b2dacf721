package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version and commit are set by the linker (-X main.version=v1.2.3).
var version, commit string

// buildVersion says what is running: the release, or else what Go knows of the
// sources that it was built from.
func buildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "devel-" + s.Value[:min(12, len(s.Value))]
		}
	}
	return "devel"
}

func newVersion(p *process) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say what is running",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			from := ""
			if commit != "" {
				from = "commit " + commit + ", "
			}
			fmt.Fprintf(p.out, "reattach %s (%s%s, %s/%s)\n", buildVersion(), from, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}
