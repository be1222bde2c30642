package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// plan says what is measured, and how.
type plan struct {
	adapter, other, only string
	rounds, connections  int
	window               time.Duration
	rate                 int
}

// result is what one target cost, as the medians of its rounds.
type result struct {
	Name string `json:"name"`
	// CPU is the time of the proxy's process for each request, in microseconds; Ratio is
	// that to the baseline's in the same round, Low and High its quartiles.
	CPU   float64 `json:"cpu_us"`
	Ratio float64 `json:"ratio"`
	Low   float64 `json:"ratio_low"`
	High  float64 `json:"ratio_high"`
	// PerSecond is the number of answers a second.
	PerSecond float64 `json:"per_second"`
	// P50 and P99 are latencies at the plan's rate, in microseconds.
	P50 float64 `json:"p50_us"`
	P99 float64 `json:"p99_us"`
	// Idle and Loaded are resident memory, in MiB; Start is the time until connections
	// are taken, in milliseconds.
	Idle   float64 `json:"idle_mib"`
	Loaded float64 `json:"loaded_mib"`
	Start  float64 `json:"start_ms"`
}

// running is a target under measurement.
type running struct {
	target

	address string
	process *process // nil: none
	rounds  []round
	idle    float64
}

// round is what one window of a target, and one of latencies, showed.
type round struct{ cpu, perSecond, p50, p99 float64 }

// measure starts all programs, and gives each a window in every round. Answers are
// compared with what is wanted, throughout.
func (p plan) measure(ctx context.Context, progress io.Writer) (report, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return report{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if p.adapter == "" {
		p.adapter = filepath.Join(dir, "zitadel-v1-adapter")
		build := exec.CommandContext(ctx, "go", "build", "-C", "..", "-trimpath", "-ldflags=-s -w", "-o", p.adapter, "./cmd/zitadel-v1-adapter") //nolint:gosec // bench's own arguments
		if out, err := build.CombinedOutput(); err != nil {
			return report{}, fmt.Errorf("building the adapter: %w: %s", err, out)
		}
	}
	all, stop, err := p.startAll(ctx, dir)
	defer stop()
	if err != nil {
		return report{}, err
	}
	for n := range p.rounds {
		for _, each := range all {
			if err := p.round(ctx, each); err != nil {
				return report{}, fmt.Errorf("%s: %w", each.name, err)
			}
		}
		fmt.Fprintf(progress, "round %d of %d\n", n+1, p.rounds)
	}
	results, err := summarize(all)
	return report{results, judge(all)}, err
}

// startAll starts the upstream and all programs; stop ends them.
func (p plan) startAll(ctx context.Context, dir string) (all []*running, stop func(), err error) {
	var started []*process
	stop = func() {
		for _, each := range started {
			each.stop()
		}
	}
	itself, err := os.Executable()
	if err != nil {
		return nil, stop, err
	}
	upstream, err := freeAddress(ctx)
	if err != nil {
		return nil, stop, err
	}
	zitadel, err := start(ctx, upstream, nil, itself, "upstream", upstream)
	if err != nil {
		return nil, stop, err
	}
	started = append(started, zitadel)
	targets, err := p.targets(dir)
	if err != nil {
		return nil, stop, err
	}
	for _, each := range targets {
		under := &running{target: each, address: upstream}
		if each.command != nil {
			if under.address, err = freeAddress(ctx); err != nil {
				return nil, stop, err
			}
			environ, name, args := each.command(under.address, upstream)
			if under.process, err = start(ctx, under.address, environ, name, args...); err != nil {
				return nil, stop, err
			}
			started = append(started, under.process)
			time.Sleep(100 * time.Millisecond)
			if under.idle, err = under.process.memory(); err != nil {
				return nil, stop, err
			}
		}
		all = append(all, under)
	}
	return all, stop, nil
}

func (p plan) round(ctx context.Context, each *running) error {
	before, err := each.process.cpu()
	if err != nil {
		return err
	}
	began := time.Now()
	answers, err := closedLoop(ctx, each.address, each.request, p.connections, p.window)
	if err != nil {
		return err
	}
	lasted := time.Since(began)
	after, err := each.process.cpu()
	if err != nil {
		return err
	}
	latencies, err := openLoop(ctx, each.address, each.request, p.rate, p.window/2)
	if err != nil {
		return err
	}
	each.rounds = append(each.rounds, round{
		cpu:       microseconds(after-before) / float64(answers),
		perSecond: float64(answers) / lasted.Seconds(),
		p50:       microseconds(latencies[len(latencies)/2]),
		p99:       microseconds(latencies[len(latencies)*99/100]),
	})
	return nil
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// summarize takes medians.
func summarize(all []*running) ([]result, error) {
	base := all[slices.IndexFunc(all, func(each *running) bool { return each.name == baseline })]
	results := make([]result, 0, len(all))
	for _, each := range all {
		of := func(figure func(round) float64) []float64 {
			figures := make([]float64, len(each.rounds))
			for i, round := range each.rounds {
				figures[i] = figure(round)
			}
			slices.Sort(figures)
			return figures
		}
		toBase := ratios(each, base)
		summary := result{
			Name: each.name, CPU: median(of(func(r round) float64 { return r.cpu })),
			Ratio: median(toBase), Low: toBase[len(toBase)/4], High: toBase[len(toBase)*3/4],
			PerSecond: median(of(func(r round) float64 { return r.perSecond })),
			P50:       median(of(func(r round) float64 { return r.p50 })), P99: median(of(func(r round) float64 { return r.p99 })),
			Idle: each.idle,
		}
		if each.process != nil {
			var err error
			if summary.Loaded, err = each.process.memory(); err != nil {
				return nil, err
			}
			summary.Start = float64(each.process.started) / float64(time.Millisecond)
		}
		results = append(results, summary)
	}
	return results, nil
}

func median(sorted []float64) float64 { return sorted[len(sorted)/2] }
