package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// growth is what it costs as there is more of everything.
type growth struct {
	connections, slow []grown
	idle              []idle
}

// grown is one workload at one size; the medians of the rounds.
type grown struct {
	name           string
	cores          int
	count          int // of connections, each with one request under way
	perSecond, cpu float64
	memory         float64 // resident, at the end, in MiB
}

// idle is the memory, in KiB, that a client costs that does nothing.
type idle struct {
	protocol string
	each     float64
}

// grow measures the adapter alone, at each size in turn.
func (p *plan) grow(ctx context.Context) (*growth, error) {
	var all growth
	steps := []func(context.Context, *growth) error{p.growConnections, p.growSlow, p.growIdle}
	for i, step := range steps {
		if err := step(ctx, &all); err != nil {
			return nil, err
		}
		fmt.Fprintf(p.progress, "growth %d of %d\n", i+1, len(steps))
	}
	return &all, nil
}

// unlimited is an adapter that refuses no call for its number.
func (p *plan) unlimited(environ ...string) program {
	return adapterProgram(p.adapter).with("V1ADAPTER_LIMITS_CALLSINFLIGHT=0").with(environ...)
}

// growConnections goes from one connection to thousands, on one and on two cores.
func (p *plan) growConnections(ctx context.Context, all *growth) error {
	send, err := newRequests()
	if err != nil {
		return err
	}
	for _, each := range []target{send.get, send.rest} {
		for _, cores := range []int{1, 2} {
			for _, count := range []int{1, 8, 32, 128, 512, 1000, 2000, 4000} {
				seen, err := p.size(ctx, each, cores, count, 0)
				if err != nil {
					return err
				}
				all.connections = append(all.connections, seen)
			}
		}
	}
	return nil
}

// growSlow has more and more calls wait for a ZITADEL that takes as long for a password as
// bcrypt does at a cost of 10 and of 14.
func (p *plan) growSlow(ctx context.Context, all *growth) error {
	send, err := newRequests()
	if err != nil {
		return err
	}
	for _, delay := range []time.Duration{73 * time.Millisecond, 950 * time.Millisecond} {
		for _, count := range []int{100, 500, 1000, 2000, 5000} {
			seen, err := p.size(ctx, send.rest, 2, count, delay)
			if err != nil {
				return err
			}
			seen.name = delay.String()
			all.slow = append(all.slow, seen)
		}
	}
	return nil
}

// size measures one size, with programs of its own.
func (p *plan) size(ctx context.Context, send target, cores, count int, delay time.Duration) (grown, error) {
	m := new(machine)
	defer m.stop()
	upstream, err := m.startUpstream(ctx, delay)
	if err != nil {
		return grown{}, err
	}
	adapter, address, err := m.start(ctx, upstream, p.unlimited(fmt.Sprintf("GOMAXPROCS=%d", cores)))
	if err != nil {
		return grown{}, err
	}
	clients, stop, err := dialAll(ctx, address, send.workload, count)
	defer stop()
	if err != nil {
		return grown{}, err
	}
	const fewer = 3 // there are many sizes
	seen := make([]window, max(p.rounds/fewer, 1))
	for i := range seen {
		if seen[i], err = m.window(adapter, clients, max(p.window, 2*delay)); err != nil {
			return grown{}, fmt.Errorf("%s, %d connections, %v: %w", send.name, count, delay, err)
		}
	}
	memory, err := adapter.memory()
	return grown{
		send.name, cores, count, median(sorted(seen, func(w window) float64 { return w.perSecond })),
		median(sorted(seen, func(w window) float64 { return w.cpu })), memory,
	}, err
}

// growIdle counts what clients cost that have had an answer and keep their connection.
func (p *plan) growIdle(ctx context.Context, all *growth) error {
	for _, overHTTP2 := range []bool{false, true} {
		seen, err := p.idleClients(ctx, overHTTP2)
		if err != nil {
			return err
		}
		all.idle = append(all.idle, seen)
	}
	return nil
}

func (p *plan) idleClients(ctx context.Context, overHTTP2 bool) (idle, error) {
	const count = 1000
	m := new(machine)
	defer m.stop()
	upstream, err := m.startUpstream(ctx, 0)
	if err != nil {
		return idle{}, err
	}
	adapter, address, err := m.start(ctx, upstream, p.unlimited())
	if err != nil {
		return idle{}, err
	}
	name := map[bool]string{false: "HTTP/1.1", true: "HTTP/2"}[overHTTP2]
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!overHTTP2)
	protocols.SetUnencryptedHTTP2(overHTTP2)
	transports := make([]*http.Transport, 1+count)
	for i := range transports {
		transports[i] = &http.Transport{Protocols: protocols}
		defer transports[i].CloseIdleConnections()
	}
	ask := func(transport *http.Transport) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/passes", nil)
		if err != nil {
			return err
		}
		response, err := transport.RoundTrip(request)
		if err != nil {
			return err
		}
		return response.Body.Close()
	}
	if err := ask(transports[0]); err != nil {
		return idle{}, err
	}
	before, err := adapter.memory()
	if err != nil {
		return idle{}, err
	}
	for _, transport := range transports[1:] {
		if err := ask(transport); err != nil {
			return idle{}, err
		}
	}
	after, err := adapter.memory()
	const kib = 1024
	return idle{name, (after - before) * kib / count}, err
}
