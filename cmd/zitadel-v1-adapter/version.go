package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersionCommand(environ []string) *cobra.Command {
	c := newCommand(environ, &cobra.Command{Use: "version", Short: "Print the version"})
	c.addJSON("print JSON: version, commit, its time, whether files differed from it, Go, and platform")
	return c.does(func(context.Context) error {
		return c.print(newBuild(), func(out io.Writer) {
			fmt.Fprintln(out, c.Root().Name(), "version", c.Root().Version) // as --version does
		})
	})
}

// build is what version --json prints. The Go toolchain has stamped it into the binary.
type build struct {
	Version  string `json:"version"`  // the tag, or a pseudo-version, or the commit, or "devel"
	Commit   string `json:"commit"`   // "" if it was not built in a checkout
	Time     string `json:"time"`     // the commit's, RFC 3339
	Modified bool   `json:"modified"` // whether files differed from the commit's
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

// String is what version and --version print of it.
func (b build) String() string { return fmt.Sprintf("%s %s %s/%s", b.Version, b.Go, b.OS, b.Arch) }

func newBuild() build {
	stamped, version := map[string]string{}, ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			stamped[setting.Key] = setting.Value
		}
		if info.Main.Version != "(devel)" {
			version = info.Main.Version
		}
	}
	commit := stamped["vcs.revision"]
	return build{
		Version: cmp.Or(version, commit, "devel"), Commit: commit, Time: stamped["vcs.time"], Modified: stamped["vcs.modified"] == "true",
		Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
	}
}
