package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

// growth is what it costs as there is more of everything.
type growth struct {
	Connections []grown `json:"connections"`
	Slow        []grown `json:"slow"`
	Idle        []idle  `json:"idle"`
}

// grown is one workload at one size; the medians of the rounds.
type grown struct {
	Name  string `json:"name"`
	Cores int    `json:"cores"`
	// Count is the number of connections, each with one request under way.
	Count     int     `json:"count"`
	PerSecond float64 `json:"per_second"`
	CPU       float64 `json:"cpu_us"` // for each request
	Memory    float64 `json:"mib"`    // resident, at the end
}

// idle is the memory that a client costs that does nothing.
type idle struct {
	Protocol string  `json:"protocol"`
	Clients  int     `json:"clients"`
	Each     float64 `json:"kib_each"`
}

// grow measures the adapter alone, at each size in turn.
func (p plan) grow(ctx context.Context, progress io.Writer) (*growth, error) {
	var all growth
	steps := []func(context.Context, *growth) error{p.growConnections, p.growSlow, p.growIdle}
	for i, step := range steps {
		if err := step(ctx, &all); err != nil {
			return nil, err
		}
		fmt.Fprintf(progress, "growth %d of %d\n", i+1, len(steps))
	}
	return &all, nil
}

func workloads() map[string]workload {
	return map[string]workload{
		"passing": newRequest("GET", "/passes", "", `{"details":{"sequence":"2"`, token),
		"REST":    newRequest("POST", userPath, `{"password":"`+password+`"}`, `{"details":{"sequence":"2"`, token, "X-Zitadel-Orgid: "+organization),
	}
}

// unlimited is an adapter that refuses no call for its number.
func (p plan) unlimited(environ ...string) command {
	return adapterCommand(p.adapter, append(environ, "V1ADAPTER_LIMITS_CALLSINFLIGHT=0")...)
}

// growConnections goes from one connection to thousands, on one and on two cores.
func (p plan) growConnections(ctx context.Context, all *growth) error {
	for _, name := range []string{"passing", "REST"} {
		for _, cores := range []int{1, 2} {
			for _, count := range []int{1, 8, 32, 128, 512, 1000, 2000, 4000} {
				seen, err := p.size(ctx, name, cores, count, 0)
				if err != nil {
					return err
				}
				all.Connections = append(all.Connections, seen)
			}
		}
	}
	return nil
}

// growSlow has more and more calls wait for a ZITADEL that takes as long for a password as
// bcrypt does at a cost of 10 and of 14.
func (p plan) growSlow(ctx context.Context, all *growth) error {
	for _, delay := range []time.Duration{73 * time.Millisecond, 950 * time.Millisecond} {
		for _, count := range []int{100, 500, 1000, 2000, 5000} {
			seen, err := p.size(ctx, "REST", 2, count, delay)
			if err != nil {
				return err
			}
			seen.Name = delay.String()
			all.Slow = append(all.Slow, seen)
		}
	}
	return nil
}

// size measures one size, with programs of its own.
func (p plan) size(ctx context.Context, name string, cores, count int, delay time.Duration) (grown, error) {
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
	clients, stop, err := dialAll(ctx, address, workloads()[name], count)
	defer stop()
	if err != nil {
		return grown{}, err
	}
	if _, err := closedLoop(clients, 0); err != nil { // each connection has been used
		return grown{}, err
	}
	var perSecond, cpu []float64
	const fewer = 3 // there are many sizes
	for range max(p.rounds/fewer, 1) {
		var answers, repeats int
		seen, err := m.undisturbed(adapter, &repeats, func() (err error) {
			answers, err = closedLoop(clients, max(p.window, 2*delay))
			return err
		})
		if err != nil {
			return grown{}, fmt.Errorf("%s, %d connections, %v: %w", name, count, delay, err)
		}
		perSecond = append(perSecond, float64(answers)/seen.lasted.Seconds())
		cpu = append(cpu, microseconds(seen.cpu)/float64(answers))
	}
	slices.Sort(perSecond)
	slices.Sort(cpu)
	memory, err := adapter.memory()
	return grown{name, cores, count, median(perSecond), median(cpu), memory}, err
}

// growIdle counts what clients cost that have had an answer and keep their connection.
func (p plan) growIdle(ctx context.Context, all *growth) error {
	for _, overHTTP2 := range []bool{false, true} {
		seen, err := p.idleClients(ctx, overHTTP2)
		if err != nil {
			return err
		}
		all.Idle = append(all.Idle, seen)
	}
	return nil
}

func (p plan) idleClients(ctx context.Context, overHTTP2 bool) (idle, error) {
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
	return idle{name, count, (after - before) * kib / count}, err
}
