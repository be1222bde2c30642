package main

import "slices"

// bar is what the adapter's CPU time for a request may be at most, as a multiple of
// another target's.
type bar struct {
	of, to string // names of targets
	most   float64
}

var bars = []bar{
	{"adapter, passing", baseline, 1.0},
	{"adapter, 1 MiB", "httputil.ReverseProxy, 1 MiB", 1.0},
	{"adapter, REST, off", baseline, 1.05},
	{"adapter, REST, off", "nginx with njs, REST", 2.4},
	{"adapter, REST, off", "grpc-gateway and grpc-go, REST", 0.6},
	{"adapter, REST, off", "vanguard and connect-go, REST", 0.5},
	{"adapter, REST, strict", "adapter, REST, off", 1.10},
	{"adapter, gRPC-Web, strict", "adapter, REST, strict", 1.3},
	{"adapter, REST, strict, gRPC upstream", "adapter, REST, strict", 1.3},
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
	for _, bar := range bars {
		of, to := named(bar.of), named(bar.to)
		if of == nil || to == nil {
			continue
		}
		ratio := median(ratios(of, to))
		verdicts = append(verdicts, verdict{bar.of, bar.to, bar.most, ratio, ratio <= bar.most})
	}
	return verdicts
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
