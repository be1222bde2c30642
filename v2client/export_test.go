package v2client

// RecheckProtocolNow makes the next call of a client that speaks gRPC, with ProtocolAuto,
// look for Connect, as it does every ten minutes.
func (c *Client) RecheckProtocolNow() { c.recheckAt.Store(0) }
