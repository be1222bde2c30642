package main

import (
	"context"
	"os"
	"time"
)

// machine is the programs of one run.
type machine struct{ running []*process }

// stop ends all programs but bench itself.
func (m *machine) stop() {
	for _, each := range m.running {
		each.stop()
	}
}

// ours is the CPU time that the run has used.
func (m *machine) ours() (time.Duration, error) {
	sum, err := itself().cpu()
	for _, each := range m.running {
		cpu, processErr := each.cpu()
		if processErr != nil {
			return 0, processErr
		}
		sum += cpu
	}
	return sum, err
}

// window is what a process used while something was done.
type window struct {
	cpu      time.Duration
	switches int
	lasted   time.Duration
	others   time.Duration // CPU time used by whoever does not belong to the run
}

// watch measures a process while do runs.
func (m *machine) watch(p *process, do func() error) (window, error) {
	before, err := m.snapshot(p)
	if err != nil {
		return window{}, err
	}
	begin := time.Now()
	if err := do(); err != nil {
		return window{}, err
	}
	lasted := time.Since(begin)
	after, err := m.snapshot(p)
	return window{
		cpu: after.cpu - before.cpu, switches: after.switches - before.switches,
		lasted: lasted, others: after.others - before.others,
	}, err
}

func (m *machine) snapshot(p *process) (window, error) {
	all, err := machineCPU()
	if err != nil {
		return window{}, err
	}
	ours, err := m.ours()
	if err != nil {
		return window{}, err
	}
	cpu, err := p.cpu()
	if err != nil {
		return window{}, err
	}
	switches, err := p.switches()
	return window{cpu: cpu, switches: switches, others: all - ours}, err
}

// undisturbed repeats a window in which others used more than a twentieth of a core's time,
// a few times. repeats counts how often that was done.
func (m *machine) undisturbed(p *process, repeats *int, do func() error) (window, error) {
	const most, share = 3, 20
	for n := 0; ; n++ {
		seen, err := m.watch(p, do)
		if err != nil {
			return seen, err
		}
		if seen.others <= max(seen.lasted/share, 2*clockTick) || n == most {
			return seen, nil
		}
		*repeats++
	}
}

// startUpstream starts a ZITADEL that takes a time to write a password.
func (m *machine) startUpstream(ctx context.Context, delay time.Duration) (address string, err error) {
	itself, err := os.Executable()
	if err != nil {
		return "", err
	}
	_, address, err = m.start(ctx, delay.String(), func(address, delay string) ([]string, string, []string) {
		return nil, itself, []string{"upstream", address, delay}
	})
	return address, err
}

// start starts a program on an address of its own, and lets it come to rest.
func (m *machine) start(ctx context.Context, upstream string, how command) (*process, string, error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, "", err
	}
	environ, name, args := how(address, upstream)
	started, err := start(ctx, address, environ, name, args...)
	if err != nil {
		return nil, "", err
	}
	m.running = append(m.running, started)
	time.Sleep(100 * time.Millisecond)
	return started, address, nil
}
