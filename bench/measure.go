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
	progress             io.Writer
	dir                  string // for what the programs need
}

// prepare makes the plan's directory, and builds the adapter if none is named.
func (p *plan) prepare(ctx context.Context) (remove func(), err error) {
	if p.dir, err = os.MkdirTemp("", "bench"); err != nil {
		return func() {}, err
	}
	remove = func() { _ = os.RemoveAll(p.dir) }
	if p.adapter != "" {
		return remove, nil
	}
	p.adapter = filepath.Join(p.dir, "zitadel-v1-adapter")
	build := exec.CommandContext(ctx, "go", "build", "-C", "..", "-trimpath", "-tags=grpcnotrace", "-ldflags=-s -w", //nolint:gosec // bench's own arguments
		"-o", p.adapter, "./cmd/zitadel-v1-adapter")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return remove, fmt.Errorf("building the adapter: %w: %s", err, out)
	}
	return remove, nil
}

// running is a target under measurement.
type running struct {
	target

	address      string
	process      *process // nil: none
	rounds       []round
	idle, loaded float64 // MiB
}

// round is what one window of a target, and one of latencies in microseconds, showed.
type round struct {
	window

	p50, p99 float64
}

// measure starts the programs of all targets, and gives each a window in every round, in
// alternating order. Answers are compared with what is wanted, throughout.
func (p *plan) measure(ctx context.Context) ([]*running, error) {
	m := new(machine)
	defer m.stop()
	all, err := p.startAll(ctx, m)
	if err != nil {
		return nil, err
	}
	order := slices.Clone(all)
	for n := range p.rounds {
		for _, each := range order {
			if err := p.round(ctx, m, each); err != nil {
				return nil, fmt.Errorf("%s: %w", each.name, err)
			}
		}
		slices.Reverse(order)
		fmt.Fprintf(p.progress, "round %d of %d; windows measured again until now: %d\n", n+1, p.rounds, m.repeats)
	}
	for _, each := range all {
		if each.loaded, err = each.process.memory(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// startAll starts the upstream and all programs.
func (p *plan) startAll(ctx context.Context, m *machine) ([]*running, error) {
	targets, err := p.targets()
	if err != nil {
		return nil, err
	}
	upstream, err := m.startUpstream(ctx, 0)
	if err != nil {
		return nil, err
	}
	all := make([]*running, len(targets))
	for i, each := range targets {
		all[i] = &running{target: each, address: upstream}
		if each.program == nil {
			continue
		}
		if all[i].process, all[i].address, err = m.start(ctx, upstream, each.program); err != nil {
			return nil, err
		}
		if all[i].idle, err = all[i].process.memory(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (p *plan) round(ctx context.Context, m *machine, each *running) error {
	count := p.connections
	if each.download {
		count = 2
	}
	clients, stop, err := dialAll(ctx, each.address, each.workload, count)
	defer stop()
	if err != nil {
		return err
	}
	var seen round
	if seen.window, err = m.window(each.process, clients, p.window); err != nil {
		return err
	}
	if !each.download {
		latencies, err := openLoop(clients, p.rate, p.window/2)
		if err != nil {
			return err
		}
		seen.p50, seen.p99 = microseconds(latencies[len(latencies)/2]), microseconds(latencies[len(latencies)*99/100])
	}
	each.rounds = append(each.rounds, seen)
	return nil
}

// median is that of a figure over the rounds.
func (r *running) median(figure func(round) float64) float64 {
	return median(sorted(r.rounds, figure))
}

func sorted[T any](all []T, figure func(T) float64) []float64 {
	figures := make([]float64, len(all))
	for i, each := range all {
		figures[i] = figure(each)
	}
	slices.Sort(figures)
	return figures
}

func median(sorted []float64) float64 { return sorted[len(sorted)/2] }

// ratio is that of two targets' CPU times in the same rounds: the median and the quartiles.
type ratio struct{ low, median, high float64 }

func (r *running) to(other *running) ratio {
	all := make([]float64, len(r.rounds))
	for i, round := range r.rounds {
		all[i] = round.cpu / other.rounds[i].cpu
	}
	slices.Sort(all)
	return ratio{all[len(all)/4], median(all), all[len(all)*3/4]}
}

func (r ratio) String() string { return fmt.Sprintf("%.2f (%.2f-%.2f)", r.median, r.low, r.high) }
