// Command bench measures what the adapter costs beside other programs that do the same, or
// less, in one interleaved run: CPU time of the program's process for each request, requests
// a second, latency at a fixed rate, memory, and the time to the first connection; what the
// adapter costs as there is more of everything; and where its CPU time goes. It prints
// Markdown, as docs/performance.md has it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is main, with the world as parameters. "bench PEER ADDRESS UPSTREAM" are the processes
// that bench itself starts.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := dispatch(ctx, args, stdout, stderr)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		return 2
	}
	fmt.Fprintf(stderr, "bench: %v\n", err)
	return 1
}

func dispatch(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 3 {
		if serve, ok := peers()[args[0]]; ok {
			return serve(args[1], args[2])
		}
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	plan := plan{progress: stderr}
	flags.StringVar(&plan.adapter, "adapter", "", "the adapter's binary; default: built from the module above, as releases are")
	flags.StringVar(&plan.other, "other", "", "another binary of the adapter, measured beside it")
	flags.StringVar(&plan.only, "only", "", "measure only the targets whose names match this regular expression, and what they are compared with")
	flags.IntVar(&plan.rounds, "rounds", 7, "rounds of one window for each target")
	flags.IntVar(&plan.connections, "connections", 32, "connections that send one request after the other")
	flags.DurationVar(&plan.window, "window", time.Second, "how long a window lasts")
	flags.IntVar(&plan.rate, "rate", 500, "requests a second at which latency is measured")
	andGrowth := flags.Bool("growth", false, "also measure the adapter as connections, slow calls and idle clients become more")
	plots := flags.String("plots", "", "with -growth, also draw plots of it, as SVG files in this directory")
	onlyProfile := flags.Bool("profile", false, "print, and do nothing else, in which packages the adapter's CPU time goes, in rounds times window of load")
	if err := flags.Parse(args); err != nil {
		return err
	}
	remove, err := plan.prepare(ctx)
	defer remove()
	if err != nil {
		return err
	}
	out := &tables{out: stdout}
	if *onlyProfile {
		shares, err := plan.profile(ctx)
		if err != nil {
			return err
		}
		out.profile(shares)
		return out.err
	}
	measured, err := plan.measure(ctx)
	if err != nil {
		return err
	}
	out.targets(measured)
	if !*andGrowth {
		return out.err
	}
	more, err := plan.grow(ctx)
	if err != nil {
		return err
	}
	out.growth(more)
	if *plots != "" {
		err = draw(*plots, more)
	}
	return errors.Join(out.err, err)
}
