// Command bench measures what the adapter costs beside other programs that do the same, or
// less, in one interleaved run: CPU time of the proxy's process for each request, requests
// a second, latency at a fixed rate, context switches, memory, and the time to the first
// connection; and what the adapter costs as there is more of everything.
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

// run is main, with the world as parameters. "bench upstream ADDR DELAY" and "bench PEER ADDR
// UPSTREAM", of reverse-proxy, reverse-proxy-http2, gateway and vanguard, are the processes that bench itself
// starts.
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
		switch args[0] {
		case "upstream":
			delay, err := time.ParseDuration(args[2])
			if err != nil {
				return err
			}
			return serveUpstream(args[1], delay)
		case "reverse-proxy":
			return serveReverseProxy(args[1], args[2], false)
		case "reverse-proxy-http2":
			return serveReverseProxy(args[1], args[2], true)
		case "gateway":
			return serveGateway(args[1], args[2])
		case "vanguard":
			return serveVanguard(args[1], args[2])
		}
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	plan := plan{}
	flags.StringVar(&plan.adapter, "adapter", "", "the adapter's binary; default: built from the module above")
	flags.StringVar(&plan.other, "other", "", "another binary of the adapter, measured beside it")
	flags.StringVar(&plan.only, "only", "", "measure only the targets whose names match this regular expression")
	flags.IntVar(&plan.rounds, "rounds", 7, "rounds of one window for each target")
	flags.IntVar(&plan.connections, "connections", 32, "connections that send one request after the other")
	flags.DurationVar(&plan.window, "window", time.Second, "how long a window lasts")
	flags.IntVar(&plan.rate, "rate", 500, "requests a second at which latency is measured")
	flags.BoolVar(&plan.growth, "growth", false, "also measure the adapter as connections, slow calls and idle clients become more")
	plots := flags.String("plots", "", "also draw plots, as SVG files in this directory")
	asJSON := flags.Bool("json", false, "print JSON")
	if err := flags.Parse(args); err != nil {
		return err
	}
	measured, err := plan.measure(ctx, stderr)
	if err != nil {
		return err
	}
	if *plots != "" {
		if err := draw(*plots, measured); err != nil {
			return err
		}
	}
	if *asJSON {
		return writeJSON(stdout, measured)
	}
	return writeTables(stdout, measured)
}
