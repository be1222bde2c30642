# What must hold. `make ci` is all of it, as .ci/run does it after it has installed
# what is missing. `make hosts` and `make image` need root; nothing else does.
LINT = go tool -modfile=$(CURDIR)/tools/go.mod golangci-lint
FUZZED = ./adapter ./internal/config ./internal/forwarded ./internal/http1 ./internal/passthrough ./internal/printable ./internal/redact ./internal/rpcstatus ./internal/v1api ./internal/v1wire
SEED := $(shell date +%s)

# Without cgo, as releases are built. The race detector needs cgo.
export CGO_ENABLED = 0

.PHONY: test race lint interop generated generate fuzz ledger descriptions deploy traefik hosts image snapshot manpages vulnerabilities bench bench-compare ci

test: # what the README says
	go test ./...

race: # with a quarter of the organization rule's callers; `make test` has all of them, and go vet
	CGO_ENABLED=1 go test -race -short -shuffle=on -vet=off ./...

MODULES ?= . interop interop/reference bench
lint: # linters, go vet's among them; tidy modules
	for module in $(MODULES); do (cd $$module && $(LINT) run ./... && go mod tidy -diff) || exit 1; done

generated: # generated code is up to date, proto/ breaks nobody, workflows are valid
	.ci/generated
	.ci/protobuf
	go tool -modfile=tools/release/go.mod actionlint

generate: # gen/ from proto/; config.schema.json, adapter/openapi.json; the chart's README and schema, deploy/kubernetes
	go generate ./...
	cd interop/deploy && go test . -run Chart -update

fuzz: # every target, briefly
	.ci/fuzz $(FUZZED)

CALLS ?= 100000
ledger: # calls through random faults, to either upstream protocol
	go test ./adapter -run '^TestLedger$$' -ledger $(CALLS) -ledger-seed $(SEED) -v

interop: interop/node_modules # beside the upstream itself, grpc-gateway and grpc-go; recipes for proxies; real clients
	cd interop && go test -count=1 ./passthrough -skip '^Test(DeadPeer|TraefikRecipes)$$'
	cd interop/reference && go test -count=1 ./...
	cd interop && npm test

interop/node_modules: interop/package-lock.json
	cd interop && npm ci --no-audit --no-fund
	touch $@

descriptions: interop/node_modules # what describes: OpenAPI, the schema, the page; then PostgreSQL, and a soak
	cd interop && go test -count=1 -v ./openapi ./configuration
	cd interop && go test -count=1 ./page ./usage
	cd interop && go test -count=1 ./passthrough -run '^TestSoak$$' -soak 30s -soak-seed $(SEED) -v

deploy: # recipes for Kubernetes, compose, Envoy, Prometheus; compiles Helm and Kubernetes' types
	cd interop/deploy && go tool -n helm && $(LINT) run ./... && go mod tidy -diff && go test -count=1 ./...

traefik: # its recipes; compiles all of Traefik, which is more than .ci/run has time for
	go tool -modfile=tools/traefik/go.mod -n traefik
	cd interop && go test -count=1 ./passthrough -run '^TestTraefikRecipes$$'

hosts: # network namespaces, as hosts that die; needs root
	cd interop && go test -count=1 ./passthrough -run '^TestDeadPeer$$'

image: # the Dockerfile built by buildah for both platforms, and run by runc; needs root
	cd interop && go test -count=1 -v ./image

snapshot: # a release that is not published, into dist/
	.ci/release

manpages: # into man/, checked by man and mandoc
	.ci/manpages man

vulnerabilities: # known ones; asks Go's database
	go tool -modfile=tools/go.mod govulncheck ./...

bench: # our own functions; the program's memory; then the program, beside others
	go test -run '^$$' -bench . -benchmem ./adapter ./v2client ./internal/...
	cd interop && go test -run '^$$' -bench TransferMemory -benchtime 1x ./passthrough
	cd bench && go run .

BASE ?= HEAD~1
BENCHES = go test -run '^$$' -bench 'Request|Classification|OrganizationRule|Exchange|Observe' -benchmem -count 6 ./adapter ./internal/app ./internal/http1 ./internal/usage

bench-compare: # our own functions at the commit BASE and here, beside each other
	rm -rf .bench && mkdir .bench
	git worktree add --detach .bench/base $(BASE)
	-cd .bench/base && $(BENCHES) > ../before.txt
	git worktree remove --force .bench/base
	$(BENCHES) > .bench/after.txt
	go tool -modfile=tools/go.mod benchstat .bench/before.txt .bench/after.txt

ci:
	.ci/run
