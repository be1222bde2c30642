package main

import (
	"runtime/debug"
	"slices"
	"strings"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// gcPercent is GOGC for the adapter: it holds little memory, so that Go's default of 100
// would collect garbage hundreds of times a second under load, for a few megabytes.
const gcPercent = 300

// tuneMemory sets how much memory the Go runtime may use, unless the environment says:
// GOGC, and GOMEMLIMIT from nine tenths of the container's limit, if there is one, near
// which garbage is collected more often.
func tuneMemory(environ []string) {
	if !slices.ContainsFunc(environ, func(entry string) bool { return strings.HasPrefix(entry, "GOGC=") }) {
		debug.SetGCPercent(gcPercent)
	}
	_, _ = memlimit.Set(memlimit.WithProvider(memlimit.FromCgroup), memlimit.WithRatio(0.9)) // without a limit, there is none
}
