package usage

import "hash/maphash"

// varieties bound what a caller can choose: the clients and organizations of a caller, method and
// day. Those after the first few are Others.
type varieties struct {
	day   string
	seed  maphash.Seed
	seen  map[uint64]struct{} // hashes of keys without protocol, way and outcome
	count map[uint64]uint8    // by the hash of caller, API and method
}

const (
	// maxVariety is how many pairs of client and organization a caller, method and day have.
	maxVariety = 5
	// maxVarieties bounds what is remembered of a day: about 2 MiB.
	maxVarieties = 50_000
)

// bound cuts what is one too many.
func (v *varieties) bound(k *Key) {
	if k.Day > v.day {
		*v = varieties{day: k.Day, seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}, count: map[uint64]uint8{}}
	}
	if k.Client == "" && k.Organization == "" {
		return
	}
	caller := maphash.Comparable(v.seed, [3]string{k.Caller, k.API, k.Method})
	pair := maphash.Comparable(v.seed, [5]string{k.Caller, k.API, k.Method, k.Client, k.Organization})
	if _, seen := v.seen[pair]; seen {
		return
	}
	if v.count[caller] >= maxVariety || len(v.seen) >= maxVarieties {
		k.Client, k.Organization = Others, Others
		return
	}
	v.seen[pair] = struct{}{}
	v.count[caller]++
}
