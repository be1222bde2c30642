package main

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"
)

// version prints the version.
func (p *program) version(*flag.FlagSet) func(context.Context, string) error {
	return func(context.Context, string) error {
		_, err := fmt.Fprintf(p.stdout, "zitadel-v1-adapter %s %s %s/%s\n", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return err
	}
}

// buildVersion is the module's version that the Go toolchain stamped into the
// binary, or the commit, or "devel".
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	if version := info.Main.Version; version != "" && version != "(devel)" {
		return version
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" && setting.Value != "" {
			return setting.Value
		}
	}
	return "devel"
}
