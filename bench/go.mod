module zitadel-v1-adapter/bench

go 1.26.0

replace zitadel-v1-adapter => ../

require (
	connectrpc.com/connect v1.21.1
	google.golang.org/protobuf v1.36.12
	zitadel-v1-adapter v0.0.0
)
