package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"strings"
	"syscall"

	"zitadel-v1-adapter/internal/config"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // it failed
	exitUsage  = 2 // it was called wrongly
)

const usage = `zitadel-v1-adapter answers ZITADEL's deprecated v1 call
POST /management/v1/users/{userId}/password/_initialize by way of ZITADEL v2.

Usage:
  zitadel-v1-adapter [serve] [--config FILE] [flags]   run the adapter
  zitadel-v1-adapter demo [--fixture FILE] [flags]     run it before an embedded ZITADEL
  zitadel-v1-adapter version                           print the version
  zitadel-v1-adapter COMMAND --help                    the flags of a command
`

// program is one run of the program, with all that it may use of the world.
type program struct {
	environ []string
	stdout  io.Writer
	stderr  io.Writer
}

// errUsage is the error of a wrong call.
var errUsage = errors.New("wrong usage")

// run is main, with the world as parameters. It returns the exit code.
func run(args, environ []string, stdout, stderr io.Writer) int {
	p := &program{environ: environ, stdout: stdout, stderr: stderr}
	command, rest := "serve", args
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		command, rest = args[0], args[1:]
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	err := p.dispatch(ctx, command, rest)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.Is(err, errUsage):
		fmt.Fprintf(stderr, "zitadel-v1-adapter: %v\nRun 'zitadel-v1-adapter help' for usage.\n", err)
		return exitUsage
	default:
		fmt.Fprintf(stderr, "zitadel-v1-adapter: %v\n", err)
		return exitFailed
	}
}

func (p *program) dispatch(ctx context.Context, command string, args []string) error {
	switch command {
	case "serve":
		return p.serve(ctx, args)
	case "demo":
		return p.demo(ctx, args)
	case "version":
		return p.version(args)
	case "help":
		_, err := io.WriteString(p.stdout, usage)
		return err
	}
	return fmt.Errorf("%w: unknown command %q", errUsage, command)
}

// parse parses a command's flags, of which there are no positional ones.
// --help prints to standard output and returns flag.ErrHelp.
func (p *program) parse(flags *flag.FlagSet, args []string) error {
	flags.SetOutput(io.Discard)
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(p.stdout, "%s\nFlags of %s:\n", usage, flags.Name())
		flags.SetOutput(p.stdout)
		flags.PrintDefaults()
		return flag.ErrHelp
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%w: unexpected argument %q", errUsage, flags.Arg(0))
	}
	return nil
}

// newLogger logs to standard error.
func (p *program) newLogger(format string, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == config.FormatText {
		return slog.New(slog.NewTextHandler(p.stderr, options))
	}
	return slog.New(slog.NewJSONHandler(p.stderr, options))
}
