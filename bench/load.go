package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// dialAll makes clients of a workload, each of which has had an answer; stop closes those
// that there are.
func dialAll(ctx context.Context, address string, w workload, count int) (clients []client, stop func(), err error) {
	stop = func() {
		for _, each := range clients {
			_ = each.Close()
		}
	}
	for range count {
		each, err := w.connect(ctx, address)
		if err != nil {
			return nil, stop, err
		}
		clients = append(clients, each)
	}
	_, err = closedLoop(clients, 0)
	return clients, stop, err
}

// closedLoop lets each client make one exchange after the other, for a time, and one at
// least. It returns the number of answers.
func closedLoop(clients []client, window time.Duration) (int, error) {
	var (
		all      sync.WaitGroup
		answers  = make([]int, len(clients))
		failures = make([]error, len(clients))
	)
	end := time.Now().Add(window)
	for i, each := range clients {
		all.Go(func() {
			for answers[i] == 0 || (failures[i] == nil && time.Now().Before(end)) {
				failures[i] = each.exchange()
				answers[i]++
			}
		})
	}
	all.Wait()
	sum := 0
	for _, count := range answers {
		sum += count
	}
	return sum, errors.Join(failures...)
}

// openLoop makes exchanges at a rate, whether or not the earlier ones have ended. It returns
// how long each took, sorted, the wait for a client included, but not how late the machine's
// timers were.
func openLoop(clients []client, rate int, window time.Duration) ([]time.Duration, error) {
	idle := make(chan client, len(clients))
	for _, each := range clients {
		idle <- each
	}
	count := max(int(window.Seconds()*float64(rate)), 1)
	latencies, failures := make([]time.Duration, count), make([]error, count)
	var all sync.WaitGroup
	start := time.Now()
	for i := range count {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
		time.Sleep(time.Until(due))
		begin := time.Now()
		all.Go(func() {
			each := <-idle
			defer func() { idle <- each }()
			failures[i] = each.exchange()
			latencies[i] = time.Since(begin)
		})
	}
	all.Wait()
	slices.Sort(latencies)
	return latencies, errors.Join(failures...)
}
