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
	growth               bool
}

// running is a target under measurement.
type running struct {
	target

	address string
	process *process // nil: none
	rounds  []round
	idle    float64 // MiB
	repeats int     // of windows in which others used the machine
}

// round is what one window of a target, and one of latencies, showed; times in
// microseconds.
type round struct{ cpu, switches, perSecond, p50, p99 float64 }

// measure starts all programs, and gives each a window in every round. Answers are
// compared with what is wanted, throughout.
func (p plan) measure(ctx context.Context, progress io.Writer) (report, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return report{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if p.adapter == "" { // built as releases are
		p.adapter = filepath.Join(dir, "zitadel-v1-adapter")
		arguments := []string{"build", "-C", "..", "-trimpath", "-tags=grpcnotrace", "-ldflags=-s -w", "-o", p.adapter, "./cmd/zitadel-v1-adapter"}
		build := exec.CommandContext(ctx, "go", arguments...) //nolint:gosec // bench's own arguments
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return report{}, fmt.Errorf("building the adapter: %w: %s", err, out)
		}
	}
	compared, err := p.compare(ctx, dir, progress)
	if err != nil || !p.growth {
		return compared, err
	}
	compared.Growth, err = p.grow(ctx, progress)
	return compared, err
}

// compare measures all targets beside each other.
func (p plan) compare(ctx context.Context, dir string, progress io.Writer) (report, error) {
	m := new(machine)
	defer m.stop()
	all, err := p.startAll(ctx, m, dir)
	if err != nil {
		return report{}, err
	}
	for n := range p.rounds {
		for _, each := range all {
			if err := p.round(ctx, m, each); err != nil {
				return report{}, fmt.Errorf("%s: %w", each.name, err)
			}
		}
		fmt.Fprintf(progress, "round %d of %d\n", n+1, p.rounds)
	}
	results, err := summarize(all)
	return report{Results: results, Bars: judge(all)}, err
}

// startAll starts the upstream and all programs.
func (p plan) startAll(ctx context.Context, m *machine, dir string) ([]*running, error) {
	upstream, err := m.startUpstream(ctx, 0)
	if err != nil {
		return nil, err
	}
	targets, err := p.targets(dir)
	if err != nil {
		return nil, err
	}
	all := make([]*running, 0, len(targets))
	for _, each := range targets {
		under := &running{target: each, address: upstream}
		if each.command != nil {
			if under.process, under.address, err = m.start(ctx, upstream, each.command); err != nil {
				return nil, err
			}
			if under.idle, err = under.process.memory(); err != nil {
				return nil, err
			}
		}
		all = append(all, under)
	}
	return all, nil
}

func (p plan) round(ctx context.Context, m *machine, each *running) error {
	count := p.connections
	if each.download {
		count = 2
	}
	clients, stop, err := dialAll(ctx, each.address, each.workload, count)
	defer stop()
	if err != nil {
		return err
	}
	var answers int
	seen, err := m.undisturbed(each.process, &each.repeats, func() (err error) {
		answers, err = closedLoop(clients, p.window)
		return err
	})
	if err != nil {
		return err
	}
	measured := round{
		cpu:       microseconds(seen.cpu) / float64(answers),
		switches:  float64(seen.switches) / float64(answers),
		perSecond: float64(answers) / seen.lasted.Seconds(),
	}
	if !each.download {
		latencies, err := openLoop(clients, p.rate, p.window/2)
		if err != nil {
			return err
		}
		measured.p50, measured.p99 = microseconds(latencies[len(latencies)/2]), microseconds(latencies[len(latencies)*99/100])
	}
	each.rounds = append(each.rounds, measured)
	return nil
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// result is what one target cost, as the medians of its rounds.
type result struct {
	Name string `json:"name"`
	// CPU is the time of the proxy's process for each request, in microseconds; Ratio is
	// that to the baseline's in the same round, Low and High its quartiles.
	CPU   float64 `json:"cpu_us"`
	Ratio float64 `json:"ratio"`
	Low   float64 `json:"ratio_low"`
	High  float64 `json:"ratio_high"`
	// Switches is the number of context switches for each request.
	Switches float64 `json:"switches"`
	// PerSecond is the number of answers a second.
	PerSecond float64 `json:"per_second"`
	// P50 and P99 are latencies at the plan's rate, in microseconds; 0 of downloads.
	P50 float64 `json:"p50_us"`
	P99 float64 `json:"p99_us"`
	// Idle and Loaded are resident memory, in MiB; Start is the time until connections
	// are taken, in milliseconds.
	Idle   float64 `json:"idle_mib"`
	Loaded float64 `json:"loaded_mib"`
	Start  float64 `json:"start_ms"`
	// Repeats is the number of windows that were measured again, because others used the
	// machine.
	Repeats int `json:"repeats"`
}

// summarize takes medians.
func summarize(all []*running) ([]result, error) {
	base := all[slices.IndexFunc(all, func(each *running) bool { return each.name == baseline })]
	results := make([]result, 0, len(all))
	for _, each := range all {
		of := func(figure func(round) float64) float64 {
			figures := make([]float64, len(each.rounds))
			for i, round := range each.rounds {
				figures[i] = figure(round)
			}
			slices.Sort(figures)
			return median(figures)
		}
		toBase := ratios(each, base)
		summary := result{
			Name: each.name, CPU: of(func(r round) float64 { return r.cpu }),
			Ratio: median(toBase), Low: toBase[len(toBase)/4], High: toBase[len(toBase)*3/4],
			Switches:  of(func(r round) float64 { return r.switches }),
			PerSecond: of(func(r round) float64 { return r.perSecond }),
			P50:       of(func(r round) float64 { return r.p50 }), P99: of(func(r round) float64 { return r.p99 }),
			Idle: each.idle, Repeats: each.repeats,
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
