package main

import "slices"

// bar is what the adapter's CPU time for a request may be at most, as a multiple of
// another target's; or, if over is set, its median latency, as far as it is over that
// target's.
type bar struct {
	of, to string // names of targets
	most   float64
	over   string
}

// bars are a function because nothing may change them.
func bars() []bar {
	const off, strict = "adapter, REST, off", "adapter, REST, strict"
	return []bar{
		{"adapter, passing", baseline, 1.0, ""},
		{"adapter, gRPC, passing", "httputil.ReverseProxy, gRPC, passing", 1.0, ""},
		{"adapter, 64 MiB", "httputil.ReverseProxy, 64 MiB", 1.0, ""},
		{off, baseline, 1.05, ""},
		{off, "nginx with njs, REST", 2.4, ""},
		{off, "grpc-gateway and grpc-go, REST", 0.6, ""},
		{off, "vanguard and connect-go, REST", 0.5, ""},
		{strict, off, 1.10, ""},
		{"adapter, gRPC, strict", strict, 1.3, ""},
		{"adapter, gRPC-Web, strict", strict, 1.3, ""},
		{"adapter, REST, strict, gRPC upstream", strict, 1.3, ""},
		{"adapter, passing", baseline, 1.0, "direct, passing"},
		{strict, baseline, 1.1, "direct, SetPassword v2"},
	}
}

// verdict says whether a bar holds.
type verdict struct {
	Of    string  `json:"of"`
	To    string  `json:"to"`
	Most  float64 `json:"most"`
	Ratio float64 `json:"ratio"` // the median of the rounds'
	Holds bool    `json:"holds"`
}

// judge compares what was measured with the bars. What was not measured has no verdict.
func judge(all []*running) []verdict {
	named := func(name string) *running {
		at := slices.IndexFunc(all, func(each *running) bool { return each.name == name })
		if at < 0 {
			return nil
		}
		return all[at]
	}
	var verdicts []verdict
	for _, bar := range bars() {
		of, to := named(bar.of), named(bar.to)
		if of == nil || to == nil {
			continue
		}
		ratio, what := median(ratios(of, to)), bar.of
		if bar.over != "" {
			over, direct := named(bar.over), named("direct, passing")
			if over == nil || direct == nil {
				continue
			}
			ratio, what = (p50(of)-p50(over))/(p50(to)-p50(direct)), bar.of+": p50 over direct"
		}
		verdicts = append(verdicts, verdict{what, bar.to, bar.most, ratio, ratio <= bar.most})
	}
	return verdicts
}

// p50 is the median of the rounds' median latencies.
func p50(of *running) float64 {
	all := make([]float64, len(of.rounds))
	for i, round := range of.rounds {
		all[i] = round.p50
	}
	slices.Sort(all)
	return median(all)
}

// ratios are those of CPU times, round by round, sorted.
func ratios(of, to *running) []float64 {
	all := make([]float64, len(of.rounds))
	for i, round := range of.rounds {
		all[i] = round.cpu / to.rounds[i].cpu
	}
	slices.Sort(all)
	return all
}
