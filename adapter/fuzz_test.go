package adapter

import (
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
)

// For any details that v2 sends, v1's answer has them all, and can be printed as JSON.
func FuzzDetails(f *testing.F) {
	for _, details := range []*objectv2.Details{
		{}, {Sequence: 1, ResourceOwner: "a\"\\\x01\u2028ä"},
	} {
		value, err := proto.Marshal(details)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(value)
	}
	f.Add([]byte("\x12\x06\x08\x80\x92\xb8\xc3\x98\xfe\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, value []byte) {
		details := &objectv2.Details{}
		if proto.Unmarshal(value, details) == nil {
			checkResponse(t, details)
		}
	})
}

func checkResponse(t *testing.T, details *objectv2.Details) {
	t.Helper()
	mapped := objectDetails(details)
	if mapped.GetSequence() != details.GetSequence() || mapped.GetResourceOwner() != details.GetResourceOwner() {
		t.Fatalf("got %v, want the sequence and resource owner of %v", mapped, details)
	}
	if details.GetChangeDate().IsValid() && !proto.Equal(mapped.GetChangeDate(), details.GetChangeDate()) ||
		details.GetCreationDate().IsValid() && !proto.Equal(mapped.GetCreationDate(), details.GetCreationDate()) {
		t.Fatalf("got %v, want the dates of %v", mapped, details)
	}
	response := &managementv1.SetHumanInitialPasswordResponse{Details: mapped}
	if _, err := protojson.Marshal(response); err != nil {
		t.Fatalf("protojson.Marshal(%v): got %v, want no error", response, err)
	}
}
