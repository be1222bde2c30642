package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // it failed
	exitUsage  = 2 // it was called wrongly
)

// program is one run of the program, with all that it may use of the world.
type program struct {
	environ []string
	stdout  io.Writer
	stderr  io.Writer
}

// command is one command of the command line.
type command struct {
	name    string
	summary string
	// arguments are what its one argument may be; nil means that it has none.
	arguments []string
	// setup adds the command's flags, and returns what runs when they are parsed.
	setup func(flags *flag.FlagSet) func(ctx context.Context, argument string) error
}

func (p *program) commands() []command {
	return []command{
		{name: "serve", summary: "run the adapter (the default)", setup: p.serve},
		{name: "demo", summary: "run it before an embedded in-memory ZITADEL", setup: p.demo},
		{name: "check", summary: "ask ZITADEL whether everything needed is there, and say what to do", setup: p.check},
		{name: "health", summary: "ask a running adapter whether it is ready; for probes", setup: p.health},
		{name: "completion", summary: "print a completion script for a shell", arguments: []string{"bash", "zsh", "fish"}, setup: p.completion},
		{name: "version", summary: "print the version", setup: p.version},
		{name: "help", summary: "print this", setup: p.help},
	}
}

// errUsage is the error of a wrong call.
var errUsage = errors.New("wrong usage")

// run is main, with the world as parameters. It returns the exit code.
func run(args, environ []string, stdout, stderr io.Writer) int {
	p := &program{environ: environ, stdout: stdout, stderr: stderr}
	log.SetOutput(io.Discard) // net/http's client writes there; app.Start gives it a log
	name, rest := "serve", args
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, rest = args[0], args[1:]
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	err := p.dispatch(ctx, name, rest)
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

func (p *program) dispatch(ctx context.Context, name string, args []string) error {
	all := p.commands()
	at := slices.IndexFunc(all, func(c command) bool { return c.name == name })
	if at < 0 {
		return fmt.Errorf("%w: unknown command %q", errUsage, name)
	}
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	perform := all[at].setup(flags)
	if err := p.parse(flags, args); err != nil {
		return err
	}
	argument, err := all[at].argument(flags.Args())
	if err != nil {
		return err
	}
	return perform(ctx, argument)
}

// parse parses a command's flags. --help prints to standard output and returns
// flag.ErrHelp.
func (p *program) parse(flags *flag.FlagSet, args []string) error {
	flags.SetOutput(io.Discard)
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		p.printUsage()
		fmt.Fprintf(p.stdout, "\nFlags of %s:\n", flags.Name())
		flags.SetOutput(p.stdout)
		flags.PrintDefaults()
		return flag.ErrHelp
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	return nil
}

// argument takes the one argument that a command may have.
func (c command) argument(args []string) (string, error) {
	switch {
	case c.arguments == nil && len(args) > 0:
		return "", fmt.Errorf("%w: unexpected argument %q", errUsage, args[0])
	case c.arguments == nil:
		return "", nil
	case len(args) != 1 || !slices.Contains(c.arguments, args[0]):
		return "", fmt.Errorf("%w: %s takes one of %s", errUsage, c.name, strings.Join(c.arguments, ", "))
	}
	return args[0], nil
}

// help prints what there is.
func (p *program) help(*flag.FlagSet) func(context.Context, string) error {
	return func(context.Context, string) error {
		p.printUsage()
		return nil
	}
}

func (p *program) printUsage() {
	fmt.Fprint(p.stdout, `zitadel-v1-adapter answers ZITADEL's deprecated v1 call
POST /management/v1/users/{userId}/password/_initialize by way of ZITADEL v2,
and passes everything else through.

Usage: zitadel-v1-adapter [COMMAND] [flags]

`)
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for _, each := range p.commands() {
		name := each.name
		if each.arguments != nil {
			name += " " + strings.Join(each.arguments, "|")
		}
		fmt.Fprintf(table, "  %s\t%s\n", name, each.summary)
	}
	_ = table.Flush()
	fmt.Fprint(p.stdout, "\nThe flags of a command: zitadel-v1-adapter COMMAND --help\n")
}
