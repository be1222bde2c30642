package check

import (
	"context"
	"errors"
	"time"

	"zitadel-v1-adapter/internal/usage"
)

// ledgerTimeout is how long the database of the ledger may take: ZITADEL needs the rest.
const ledgerTimeout = 10 * time.Second

// checkLedger looks at the database in usage.store, as an adapter that the same user runs would.
func (c *checker) checkLedger(ctx context.Context) Result {
	address, key, err := c.Settings.Usage.StoreAddress()
	switch {
	case err != nil:
		return result(Failed, err.Error(), "")
	case address == "":
		return result(Skipped, "in memory, until the adapter ends", "set usage.store to keep it")
	}
	ctx, cancel := context.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	found, err := usage.Examine(ctx, address, time.Now())
	if err == nil {
		return result(OK, found, "")
	}
	failure := result(Failed, key+": "+err.Error(), "")
	if unusable, ok := errors.AsType[*usage.UnusableError](err); ok {
		failure.Hint = unusable.Hint
	}
	return failure
}
