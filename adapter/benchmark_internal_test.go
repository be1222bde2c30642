package adapter

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
	"zitadel-v1-adapter/v2client"
)

const benchmarkedUser = "400850336480234534"

// BenchmarkClassification is how a request's path becomes a method, or none.
func BenchmarkClassification(b *testing.B) {
	a := newBenchmarked(b)
	for _, each := range []struct{ name, path string }{
		{"REST", "/management/v1/users/" + benchmarkedUser + "/password/_initialize"},
		{"gRPC", "/zitadel.management.v1.ManagementService/SetHumanInitialPassword"},
		{"other", "/management/v1/users/" + benchmarkedUser + "/profile"},
	} {
		b.Run(each.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if clean := cleanPath(each.path); (a.find(clean).method == nil) != (each.name == "other") {
					b.Fatal("not what it is")
				}
			}
		})
	}
}

// BenchmarkOrganizationRule is the rule alone, for a ZITADEL that takes no time: hot with all
// remembered, cold with nothing.
func BenchmarkOrganizationRule(b *testing.B) {
	for _, each := range []string{"hot", "cold"} {
		b.Run(each, func(b *testing.B) {
			a := newBenchmarked(b)
			caller := v2client.NewCaller("localhost", http.Header{"Authorization": {"Bearer abcdefghijklmnopqrstuvwxyz"}, "X-Zitadel-Orgid": {"1001"}})
			token := hashToken(caller)
			request := &initialPassword{}
			request.UserId, request.Password = benchmarkedUser, "Sup3rPassw0rd!"
			b.ReportAllocs()
			for b.Loop() {
				if each == "cold" {
					a.identities.callers.Purge()
					a.identities.organizations.Purge()
				}
				c := call{zitadel: a.config.ZITADEL, identities: a.identities, event: new(Event), caller: caller, token: token, request: request}
				if _, err := c.inOrganization(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func newBenchmarked(b *testing.B) *Adapter {
	b.Helper()
	a, err := New(Config{ZITADEL: promptZITADEL{}, OrgScope: OrgScopeStrict, Timeout: time.Second, Rollout: RolloutAll, Limits: Limits{BodyTimeout: time.Second}})
	if err != nil {
		b.Fatal(err)
	}
	return a
}

// promptZITADEL allows everything, at once.
type promptZITADEL struct{}

func (promptZITADEL) SetPassword(context.Context, v2client.Caller, string, string, bool) (*objectv2.Details, error) {
	return &objectv2.Details{ResourceOwner: "1001"}, nil
}

func (promptZITADEL) UserOrganization(context.Context, v2client.Caller, string) (string, error) {
	return "1001", nil
}

func (promptZITADEL) Identify(context.Context, v2client.Caller) (v2client.Identity, error) {
	return v2client.Identity{UserID: "7", Organization: "1001"}, nil
}

func (promptZITADEL) Authorize(_ context.Context, _ v2client.Caller, known v2client.Identity) (v2client.Grant, v2client.Identity, error) {
	return v2client.GrantUserWrite, known, nil
}

func (promptZITADEL) IsHuman(context.Context, v2client.Caller, string) (bool, error) {
	return true, nil
}

func (promptZITADEL) DefaultLanguage(context.Context, v2client.Caller) (string, error) {
	return "en", nil
}

func BenchmarkDecodeJSON(b *testing.B) {
	body := []byte(`{"password":"Sup3rPassw0rd!"}`)
	b.Run("scanner", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if refusal := decodeJSON(body, nil, &initialPassword{}); refusal != nil {
				b.Fatal(refusal)
			}
		}
	})
	b.Run("reference", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := referenceDecode(body, &managementv1.SetHumanInitialPasswordRequest{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkAppendResponse(b *testing.B) {
	response := &managementv1.SetHumanInitialPasswordResponse{Details: &zitadelv1.ObjectDetails{
		Sequence: 12, ChangeDate: timestamppb.Now(), ResourceOwner: "400849858564525094",
	}}
	b.Run("by hand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			appendResponse(nil, response)
		}
	})
	b.Run("protojson", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			printed, err := protojson.Marshal(response)
			var out bytes.Buffer
			if err != nil || json.Compact(&out, printed) != nil {
				b.Fatal(err)
			}
		}
	})
}
