package main

import (
	"context"
	"os"
	"time"
)

// machine is the programs of one run.
type machine struct {
	running []*process
	repeats int // of windows in which others used the machine
}

// stop ends all programs but bench itself.
func (m *machine) stop() {
	for _, each := range m.running {
		each.stop()
	}
}

// startUpstream starts a ZITADEL that takes a time to write a password.
func (m *machine) startUpstream(ctx context.Context, delay time.Duration) (address string, err error) {
	_, address, err = m.start(ctx, delay.String(), peer("upstream"))
	return address, err
}

// start starts a program on an address of its own, and lets it come to rest.
func (m *machine) start(ctx context.Context, upstream string, how program) (*process, string, error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, "", err
	}
	started, err := start(ctx, address, how(ctx, address, upstream))
	if err != nil {
		return nil, "", err
	}
	m.running = append(m.running, started)
	time.Sleep(100 * time.Millisecond)
	return started, address, nil
}

// used is CPU time: of a process, and of whoever does not belong to the run.
type used struct{ process, others time.Duration }

func (m *machine) used(p *process) (used, error) {
	others, err := machineCPU()
	if err != nil {
		return used{}, err
	}
	for _, each := range append(m.running, &process{pid: os.Getpid()}) {
		cpu, err := each.cpu()
		if err != nil {
			return used{}, err
		}
		others -= cpu
	}
	cpu, err := p.cpu()
	return used{cpu, others}, err
}

// window is what the exchanges of one window showed, for each of them or in all.
type window struct {
	cpu       float64 // the process's for each exchange, in microseconds
	perSecond float64
}

// window lets clients exchange for a time. It repeats a window in which others used more
// than a twentieth of a core's time, a few times.
func (m *machine) window(p *process, clients []client, length time.Duration) (window, error) {
	const most, share = 3, 20
	for n := 0; ; n++ {
		before, err := m.used(p)
		if err != nil {
			return window{}, err
		}
		begin := time.Now()
		answers, err := closedLoop(clients, length)
		if err != nil {
			return window{}, err
		}
		lasted := time.Since(begin)
		after, err := m.used(p)
		if err != nil {
			return window{}, err
		}
		if after.others-before.others <= max(lasted/share, 2*clockTick) || n == most {
			return window{microseconds(after.process-before.process) / float64(answers), float64(answers) / lasted.Seconds()}, nil
		}
		m.repeats++
	}
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
