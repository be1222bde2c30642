// Command grpcgo makes one v1 call with grpc-go, and prints as JSON the status or response
// that grpc-go returns.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
)

// scenario is the call to make, as JSON in the second argument.
type scenario struct {
	UserID   string `json:"userId"`
	Password string `json:"password"`
	Token    string `json:"token"`
	// Timeout is "" for ten seconds, or any other value for a deadline in the past.
	Timeout string `json:"timeout"`
}

// outcome is what the call returned: Code is 0 and ResourceOwner is set, or Code, Message and
// the ID of the ErrorDetail are.
type outcome struct {
	Code          int    `json:"code"`
	Message       string `json:"message,omitempty"`
	ID            string `json:"id,omitempty"`
	ResourceOwner string `json:"resourceOwner,omitempty"`
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: grpcgo ADDRESS SCENARIO")
		os.Exit(2)
	}
	var input scenario
	if err := json.Unmarshal([]byte(os.Args[2]), &input); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	got, err := call(os.Args[1], input)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(got); err != nil {
		os.Exit(1)
	}
}

func call(address string, input scenario) (outcome, error) {
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return outcome{}, err
	}
	defer func() { _ = connection.Close() }()
	timeout := 10 * time.Second
	if input.Timeout != "" {
		timeout = time.Nanosecond // grpc-go sends grpc-timeout only for the deadline of the context
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if input.Token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+input.Token)
	}
	var response managementv1.SetHumanInitialPasswordResponse
	err = connection.Invoke(ctx, "/zitadel.management.v1.ManagementService/SetHumanInitialPassword",
		&managementv1.SetHumanInitialPasswordRequest{UserId: input.UserID, Password: input.Password}, &response)
	if err == nil {
		return outcome{ResourceOwner: response.GetDetails().GetResourceOwner()}, nil
	}
	s := status.Convert(err)
	got := outcome{Code: int(s.Code()), Message: s.Message()}
	for _, detail := range s.Details() {
		if known, ok := detail.(*zitadelv1.ErrorDetail); ok {
			got.ID = known.GetId()
		}
	}
	return got, nil
}
