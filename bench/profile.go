package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

// shares are the parts of a target's CPU time, by package.
type shares struct {
	of string
	by map[string]float64
}

// profile loads the adapter's targets, one after the other, and asks each for its profile.
func (p *plan) profile(ctx context.Context) ([]shares, error) {
	targets, err := p.targets()
	if err != nil {
		return nil, err
	}
	var all []shares
	for _, each := range targets {
		if !strings.HasPrefix(each.name, "adapter, ") || each.download {
			continue
		}
		seen, err := p.profileOf(ctx, each)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", each.name, err)
		}
		all = append(all, shares{strings.TrimPrefix(each.name, "adapter, "), byPackage(seen)})
		fmt.Fprintf(p.progress, "profiled %s\n", each.name)
	}
	return all, nil
}

func (p *plan) profileOf(ctx context.Context, of target) (*profile.Profile, error) {
	m := new(machine)
	defer m.stop()
	upstream, err := m.startUpstream(ctx, 0)
	if err != nil {
		return nil, err
	}
	admin, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	environ := []string{"V1ADAPTER_ADMIN_LISTEN=" + admin, "V1ADAPTER_ADMIN_PPROF=true"}
	_, address, err := m.start(ctx, upstream, of.program.with(environ...))
	if err != nil {
		return nil, err
	}
	clients, stop, err := dialAll(ctx, address, of.workload, p.connections)
	defer stop()
	if err != nil {
		return nil, err
	}
	const margin = time.Second // the load starts before the profile and ends after it
	length := max(time.Duration(p.rounds)*p.window, time.Second)
	loaded := make(chan error, 1)
	go func() {
		_, err := closedLoop(clients, length+margin)
		loaded <- err
	}()
	content, err := get(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", admin, int(length.Seconds())))
	if err = errors.Join(err, <-loaded); err != nil {
		return nil, err
	}
	return profile.Parse(bytes.NewReader(content))
}

func get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", response.Status, content)
	}
	return content, err
}

// byPackage adds up a profile. What the runtime does for a package, such as memory, counts as
// the package's; what belongs to none has a row of its own.
func byPackage(seen *profile.Profile) map[string]float64 {
	by := make(map[string]float64)
	var sum float64
	for _, sample := range seen.Sample {
		value := float64(sample.Value[len(sample.Value)-1])
		by[owner(sample)] += value
		sum += value
	}
	for name := range by {
		by[name] /= sum
	}
	return by
}

// owner is the innermost package but Go's runtime. That of a system call is syscall.
func owner(sample *profile.Sample) string {
	for _, location := range sample.Location { // from the inside
		for _, line := range location.Line {
			function := line.Function.Name
			name, ok := packageOf(function)
			switch {
			case strings.HasPrefix(function, "runtime.gcBgMarkWorker"), strings.HasPrefix(function, "runtime.bgs"):
				return "garbage collection, by threads of its own"
			case ok && name != "runtime" && !strings.HasPrefix(name, "internal/"):
				return strings.TrimPrefix(name, "zitadel-v1-adapter/")
			}
		}
	}
	return "scheduler, network poller"
}

// packageOf is the package of a function such as example.com/a/b.(*T).m; what the compiler
// and the assembler make has none.
func packageOf(function string) (string, bool) {
	function, _, _ = strings.Cut(function, "[") // type arguments may hold slashes
	slash := strings.LastIndexByte(function, '/') + 1
	name, _, ok := strings.Cut(function[slash:], ".")
	return function[:slash] + name, ok && !strings.HasPrefix(function, "type:")
}

// profile writes a row for each package that has a fiftieth of something, the largest first.
func (t *tables) profile(all []shares) {
	largest, rest := make(map[string]float64), make(map[string]float64)
	for _, each := range all {
		rest[each.of] = 1
		for name, share := range each.by {
			largest[name] = max(largest[name], share)
		}
	}
	columns := func(first string, cell func(shares) string) []string {
		cells := append(make([]string, 0, 1+len(all)), first)
		for _, each := range all {
			cells = append(cells, cell(each))
		}
		return cells
	}
	percent := func(share float64) string { return fmt.Sprintf("%.0f", 100*max(share, 0)) }
	t.head(columns("% of CPU", func(s shares) string { return s.of })...)
	const fiftieth = 0.02
	byShare := func(a, b string) int { return cmp.Compare(largest[b], largest[a]) }
	for _, name := range slices.SortedFunc(maps.Keys(largest), byShare) {
		if largest[name] < fiftieth {
			break
		}
		t.row(columns(name, func(s shares) string {
			rest[s.of] -= s.by[name]
			return percent(s.by[name])
		})...)
	}
	t.row(columns("others, each below 2", func(s shares) string { return percent(rest[s.of]) })...)
}
