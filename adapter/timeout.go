package adapter

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"connectrpc.com/connect"
)

// timeoutUnit is the unit of a grpc-timeout header (gRPC over HTTP/2, "Timeout").
func timeoutUnit(letter byte) (time.Duration, bool) {
	switch letter {
	case 'H':
		return time.Hour, true
	case 'M':
		return time.Minute, true
	case 'S':
		return time.Second, true
	case 'm':
		return time.Millisecond, true
	case 'u':
		return time.Microsecond, true
	case 'n':
		return time.Nanosecond, true
	}
	return 0, false
}

// withGatewayTimeout gives the context of a REST request the deadline of its
// Grpc-Timeout header, read as grpc-gateway reads it: any number that fits 64
// bits, with whatever deadline comes of it.
func withGatewayTimeout(r *http.Request) (context.Context, context.CancelFunc, *status) {
	text := r.Header.Get("Grpc-Timeout")
	if text == "" {
		return r.Context(), func() {}, nil
	}
	last := len(text) - 1
	unit, known := timeoutUnit(text[last])
	count, err := strconv.ParseInt(text[:last], 10, 64)
	if err != nil || !known {
		return r.Context(), func() {}, newStatus(connect.CodeInvalidArgument, "invalid grpc-timeout: "+text)
	}
	if count == 0 { // grpc-gateway takes none for no deadline
		return r.Context(), func() {}, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Duration(count)*unit)
	return ctx, cancel, nil
}

// checkGRPCTimeout says what grpc-go finds wrong with a grpc-timeout header, by
// gRPC's own, stricter rules. connect-go, which applies it, has other words.
func checkGRPCTimeout(text string) error {
	const most = 9 // eight digits and the unit
	switch {
	case text == "":
		return nil
	case len(text) == 1:
		return fmt.Errorf("transport: timeout string is too short: %q", text)
	case len(text) > most:
		return fmt.Errorf("transport: timeout string is too long: %q", text)
	}
	last := len(text) - 1
	if _, known := timeoutUnit(text[last]); !known {
		return fmt.Errorf("transport: timeout unit is not recognized: %q", text)
	}
	_, err := strconv.ParseUint(text[:last], 10, 64)
	return err
}
