package adapter

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
)

// objectDetails maps v2's details to v1's, field by field: the numbers differ.
// A timestamp that protobuf does not allow is left out, because v1's JSON could
// not show it and the password has been set all the same.
func objectDetails(from *objectv2.Details) *zitadelv1.ObjectDetails {
	if from == nil {
		return nil
	}
	return &zitadelv1.ObjectDetails{
		Sequence:      from.GetSequence(),
		CreationDate:  validTimestamp(from.GetCreationDate()),
		ChangeDate:    validTimestamp(from.GetChangeDate()),
		ResourceOwner: from.GetResourceOwner(),
	}
}

func validTimestamp(timestamp *timestamppb.Timestamp) *timestamppb.Timestamp {
	if !timestamp.IsValid() {
		return nil
	}
	return timestamp
}
