package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersionCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArguments,
	}
	asJSON := command.Flags().Bool("json", false, "print JSON: version, commit, its time, whether files differed from it, Go, and platform")
	command.RunE = func(command *cobra.Command, _ []string) error {
		if *asJSON {
			return printJSON(command.OutOrStdout(), newBuild())
		}
		root := command.Root()
		_, err := fmt.Fprintln(command.OutOrStdout(), root.Name(), "version", root.Version) // as --version does
		return err
	}
	return command
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
	b := build{Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = new(debug.BuildInfo)
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			b.Commit = setting.Value
		case "vcs.time":
			b.Time = setting.Value
		case "vcs.modified":
			b.Modified = setting.Value == "true"
		}
	}
	if version := info.Main.Version; version != "(devel)" {
		b.Version = version
	}
	b.Version = cmp.Or(b.Version, b.Commit, "devel")
	return b
}
