package v2test

import "time"

// cores are those of the ZITADEL's machine, which share the work as Go's scheduler does:
// whatever needs more than a slice takes turns with all else. So one burst of hashes ends
// nearly at once, late, and a look-up in the middle of it is done soon. A nil cores takes
// no time.
type cores chan struct{}

func newCores(count int) cores {
	if count == 0 {
		return nil
	}
	return make(cores, count)
}

const (
	// slice is how long Go's scheduler lets a goroutine run.
	slice = 10 * time.Millisecond
	// lookUp is the work of a request without a hash.
	lookUp = time.Millisecond
)

// work keeps a core busy for the time that is needed, a slice at a time. It returns when all
// of that has passed.
func (c cores) work(needed time.Duration) {
	if c == nil {
		return
	}
	for ; needed > 0; needed -= slice {
		c <- struct{}{} // waiting senders take turns
		time.Sleep(min(needed, slice))
		<-c
	}
}
