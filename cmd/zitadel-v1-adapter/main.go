// Command zitadel-v1-adapter lets clients of ZITADEL's deprecated Management API
// v1 go on unchanged while ZITADEL v2 does the work.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"zitadel-v1-adapter/internal/printable"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailed  = 1 // it failed
	exitUsage   = 2 // a usage error
	exitUnknown = 3 // report cannot tell
)

// exitError is an error with an exit code of its own.
type exitError struct {
	error

	code int
}

func main() {
	os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// run is main, with the world as parameters. It returns the exit code.
func run(args, environ []string, stdout, stderr io.Writer) int {
	// Clients and upstreams choose some of what is printed. Nothing is printed but by these.
	stdout, stderr = printable.NewWriter(stdout), printable.NewWriter(stderr)
	log.SetOutput(io.Discard) // net/http's client writes there; app.Start gives it a log
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	root := newRootCommand(environ, stdout, stderr)
	root.SetArgs(args)
	// cobra has no error type for wrong calls. It finds them before it calls this.
	calledWell := false
	root.PersistentPreRun = func(*cobra.Command, []string) { calledWell = true }
	command, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return exitOK
	case calledWell:
		fmt.Fprintf(stderr, "zitadel-v1-adapter: %v\n", err)
		if unknown, ok := errors.AsType[exitError](err); ok {
			return unknown.code
		}
		return exitFailed
	default:
		fmt.Fprintf(stderr, "zitadel-v1-adapter: %v\nRun '%s --help' for usage.\n", err, command.CommandPath())
		return exitUsage
	}
}

// newRootCommand makes the whole command line. Without a command, it is serve.
func newRootCommand(environ []string, stdout, stderr io.Writer) *cobra.Command {
	root := newServer(environ, &cobra.Command{
		Use:   "zitadel-v1-adapter",
		Short: "Answer the deprecated calls of ZITADEL's API v1 by way of its API v2",
		Long: `zitadel-v1-adapter answers the calls SetHumanInitialPassword and SetHumanPassword of
ZITADEL's deprecated Management API v1 by way of ZITADEL v2. It passes everything
else through.`,
		Example: `  zitadel-v1-adapter demo
  zitadel-v1-adapter --upstream-url https://zitadel.example.com`,
		// Two edits, as where cobra itself suggests.
		SuggestionsMinimumDistance: 2,
		Version:                    newBuild().String(),
		SilenceErrors:              true,
		SilenceUsage:               true,
	})
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	root.AddCommand(newServeCommand(environ), newDemoCommand(environ), newCheckCommand(environ), newCompareCommand(environ),
		newReportCommand(environ), newHealthCommand(environ), newVersionCommand(environ))
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, command := range root.Commands() {
		switch command.Name() {
		case "help": // cobra's exits with 0 even if there is no such command
			command.Args = func(_ *cobra.Command, args []string) error {
				if found, rest, _ := root.Find(args); found == root {
					return noArguments(root, rest)
				}
				return nil
			}
		case "completion":
			// For no shell and an unknown one, cobra prints help and exits with 0. Only
			// a command that runs has its arguments checked.
			command.Use = "completion SHELL"
			command.DisableFlagsInUseLine = true
			command.Args = func(*cobra.Command, []string) error {
				return errors.New("completion takes one of bash, fish, powershell, zsh")
			}
			command.Run = func(*cobra.Command, []string) {}
		}
	}
	return root
}

// noArguments refuses what is no command, and suggests one; and any argument of a command,
// which [cobra.NoArgs] would call an unknown command.
func noArguments(command *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if command.HasParent() {
		return fmt.Errorf("unexpected argument %s", quoted(args[0]))
	}
	text := "unknown command " + quoted(args[0])
	if near := command.SuggestionsFor(args[0]); len(near) > 0 {
		text += "\n\nDid you mean this?\n\t" + strings.Join(near, "\n\t") + "\n"
	}
	return errors.New(text)
}

// quoted is an argument for a message. A URL may hold a password, as in
// "-upstream-url https://user:password@zitadel.example.com", where cobra takes it for a
// command.
func quoted(argument string) string {
	if strings.Contains(argument, "@") {
		return "(not repeated: it may hold a password)"
	}
	return strconv.Quote(argument)
}
