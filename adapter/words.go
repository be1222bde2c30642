package adapter

import (
	"context"
	"strings"

	"google.golang.org/protobuf/types/known/anypb"

	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/v2client"
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
func (a *Adapter) localized(ctx context.Context, caller v2client.Caller, accepted string, refusal *rpcstatus.Status) *rpcstatus.Status {
	if a.config.Messages == nil {
		return refusal
	}
	if before, _, ok := strings.Cut(refusal.Message, unknownInstance); ok {
		if text, ok := a.config.Messages.Lookup(idUnknownInstance, "", accepted); ok {
			return withMessage(refusal, before+unknownInstance+text)
		}
		return refusal
	}
	if refusal.ID == "" || !a.config.Messages.Has(refusal.ID) {
		return refusal
	}
	identity, err := a.config.ZITADEL.Identify(ctx, caller)
	if err != nil {
		identity = v2client.Identity{}
	}
	instanceDefault, err := a.config.ZITADEL.DefaultLanguage(ctx, caller)
	if err != nil {
		instanceDefault = ""
	}
	text, ok := a.config.Messages.Lookup(refusal.ID, instanceDefault, identity.Language, accepted)
	if !ok {
		return refusal
	}
	worded := withMessage(refusal, text+" ("+refusal.ID+")")
	worded.Details = wordedDetails(refusal, text)
	return worded
}

func withMessage(refusal *rpcstatus.Status, message string) *rpcstatus.Status {
	worded := *refusal
	worded.Message = strings.ToValidUTF8(message, "\uFFFD")
	return &worded
}

// wordedDetails are a refusal's details, with the text in ZITADEL's own.
func wordedDetails(refusal *rpcstatus.Status, text string) []*anypb.Any {
	details := make([]*anypb.Any, 0, len(refusal.Details))
	for _, detail := range refusal.Details {
		var own zitadelv1.ErrorDetail
		if detail.UnmarshalTo(&own) == nil && own.GetId() == refusal.ID {
			own.Message = text
			if reworded, err := anypb.New(&own); err == nil { // only invalid UTF-8 fails
				detail = reworded
			}
		}
		details = append(details, detail)
	}
	return details
}
