// Command grpcgo makes one v1 call with grpc-go and prints, as JSON, what
// grpc-go made of the answer.
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

type scenario struct {
	UserID   string `json:"userId"`
	Password string `json:"password"`
	Token    string `json:"token"`
	Timeout  string `json:"timeout"`
}

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
	var wanted scenario
	if err := json.Unmarshal([]byte(os.Args[2]), &wanted); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	got, err := call(os.Args[1], wanted)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(got); err != nil {
		os.Exit(1)
	}
}

func call(address string, wanted scenario) (outcome, error) {
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return outcome{}, err
	}
	defer func() { _ = connection.Close() }()
	timeout := 10 * time.Second
	if wanted.Timeout != "" {
		timeout = time.Nanosecond // grpc-go lets nobody else set grpc-timeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if wanted.Token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+wanted.Token)
	}
	var response managementv1.SetHumanInitialPasswordResponse
	err = connection.Invoke(ctx, "/zitadel.management.v1.ManagementService/SetHumanInitialPassword",
		&managementv1.SetHumanInitialPasswordRequest{UserId: wanted.UserID, Password: wanted.Password}, &response)
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
