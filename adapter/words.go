package adapter

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/anypb"

	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
	"zitadel-v1-adapter/internal/rpcstatus"
)

// Where native v1 words an error in the caller's language, v2 does not look at
// Accept-Language, and the adapter's own words are English.

// unknownInstance stands before the words in the error that ZITADEL raises if it does not
// know the instance. That error has no detail.
const (
	idUnknownInstance = "QUERY-1kIjX"
	unknownInstance   = "ID=" + idUnknownInstance + " Message="
)

// localized is a refusal in the language that v1 chooses: the one that the caller, a human,
// has chosen, or the request's, or the instance's default. ZITADEL is asked for the first
// and the last each time, since they may change. If it does not tell, they do not count.
func (a *Adapter) localized(ctx context.Context, c *call, refusal *rpcstatus.Status) *rpcstatus.Status {
	if a.config.Messages == nil {
		return refusal
	}
	if before, _, ok := strings.Cut(refusal.Message, unknownInstance); ok {
		if text, ok := a.config.Messages.Lookup(idUnknownInstance, "", c.languages); ok {
			return withMessage(refusal, before+unknownInstance+text)
		}
		return refusal
	}
	if refusal.ID == "" || !a.config.Messages.Has(refusal.ID) {
		return refusal
	}
	identity, err := a.config.ZITADEL.Identify(ctx, c.caller)
	if err != nil {
		identity.Language = ""
	}
	instanceDefault, err := a.config.ZITADEL.DefaultLanguage(ctx, c.caller)
	if err != nil {
		instanceDefault = ""
	}
	text, ok := a.config.Messages.Lookup(refusal.ID, instanceDefault, identity.Language, c.languages)
	if !ok {
		return refusal
	}
	worded := withMessage(refusal, text+" ("+refusal.ID+")")
	worded.Details = slices.Clone(refusal.Details)
	for i, detail := range worded.Details {
		var own zitadelv1.ErrorDetail
		if detail.UnmarshalTo(&own) != nil || own.GetId() != refusal.ID {
			continue
		}
		own.Message = text
		if reworded, err := anypb.New(&own); err == nil { // only invalid UTF-8 fails
			worded.Details[i] = reworded
		}
	}
	return worded
}

func withMessage(refusal *rpcstatus.Status, message string) *rpcstatus.Status {
	worded := *refusal
	worded.Message = strings.ToValidUTF8(message, "\uFFFD")
	return &worded
}
