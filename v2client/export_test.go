package v2client

// RecheckProtocolNow makes the next call of a client that speaks gRPC, with ProtocolAuto,
// look for Connect, as it does every ten minutes.
func (c *Client) RecheckProtocolNow() { c.protocol.lookAt.Store(0) }

// RecheckSetPasswordNow does the same for a client that sets passwords by UpdateUser.
func (c *Client) RecheckSetPasswordNow() { c.setter.lookAt.Store(0) }
