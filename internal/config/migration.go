package config

import (
	"time"

	"zitadel-v1-adapter/adapter"
)

// Deprecation is the section deprecation. See [adapter.Deprecation].
type Deprecation struct {
	// Since is the time since when v1 is deprecated, such as "2025-11-03" or "2025-11-03T12:00:00Z".
	// With it, every answer of a v1 method has the headers (in gRPC: metadata) Deprecation (RFC
	// 9745) and Warning, and Sunset (RFC 8594) and Link as far as the keys below are set. Without
	// it, answers have none of these.
	Since time.Time `yaml:"since"`
	// Sunset is the time at which v1 ends.
	Sunset time.Time `yaml:"sunset"`
	// Link is the address of a page about the deprecation.
	Link string `yaml:"link"`
	// SunsetLink is the address of a page about the end.
	SunsetLink string `yaml:"sunsetLink"`
	// SuccessorLink is the address of the documentation of what to use instead.
	SuccessorLink string `yaml:"successorLink"`
	// AfterSunset is what happens to calls after deprecation.sunset: "serve" goes on as before,
	// "refuse" refuses them with gRPC code 12 and HTTP 410.
	AfterSunset adapter.AfterSunset `yaml:"afterSunset" default:"serve"`
	// Brownouts are the times in which calls are refused with gRPC code 14, HTTP 503 and
	// Retry-After, so that callers notice before the end: "FROM/TO", such as
	// "2027-01-11T09:00:00Z/2027-01-11T10:00:00Z", or "CRON for DURATION", such as
	// "0 9 * * 1 for 1h", each Monday from 9:00 to 10:00 UTC.
	Brownouts []string `yaml:"brownouts"`
	// BrownoutPercent is the share of callers whom brownouts refuse, from 0 to 100. A larger share
	// only adds callers. Less than 100 takes one more call to ZITADEL for each token, to know whose
	// it is.
	BrownoutPercent adapter.Rollout `yaml:"brownoutPercent" default:"100"`
	// BrownoutCallers are the ids of the only users whose calls brownouts refuse, whatever
	// deprecation.brownoutPercent says. An empty list means all.
	BrownoutCallers []string `yaml:"brownoutCallers"`
	// Exempt are the ids of users whose calls are refused neither in brownouts nor after
	// deprecation.sunset.
	Exempt []string `yaml:"exempt"`
}

// Usage is the section usage. See [usage.Ledger].
type Usage struct {
	// Store is the database in which the ledger is kept: "sqlite:" and a path, such as
	// "sqlite:/var/lib/v1adapter/usage.db", for one adapter; or the URL of a PostgreSQL, such as
	// "postgres://v1adapter@db.example.com/zitadel", for many, whose counts add up, in a schema of
	// their own. Calls never wait for it. "" keeps the ledger in memory until the adapter ends.
	// Needs a restart.
	Store string `yaml:"store"`
	// Retention is how long days are kept in usage.store. 0s means for ever. Needs a restart.
	Retention time.Duration `yaml:"retention" default:"9600h"`
	// Identify is whether callers of whom only the token is known, because native v1 answers them
	// or because of "orgScope: off", are asked for once a token, so that the ledger and the log have
	// their user ids. Their calls wait for that.
	Identify bool `yaml:"identify"`
}
