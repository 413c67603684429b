# The commands of this repository. `make serve` and `make test` work on a fresh machine with Go and make alone.

GO         ?= go
gofumpt    := mvdan.cc/gofumpt@v0.12.0
staticcheck:= honnef.co/go/tools/cmd/staticcheck@v0.8.2
version    := $(shell git describe --tags --always --dirty 2>/dev/null)
ldflags    := -ldflags '-X main.version=$(version)'

.PHONY: build serve test race torture lint fmt check generate generated wasm bench fuzz clean

build: ## the server, as ./appserver
	$(GO) build $(ldflags) -o appserver ./cmd/appserver

BIND ?= 127.0.0.1:8080
serve: build ## hello.wasm on http://127.0.0.1:8080 with two workers
	./appserver serve testdata/wasm/hello.wasm --bind $(BIND) --workers 2

test: ## everything, in less than ten minutes on two cores
	$(GO) test -timeout 15m ./...

race: ## the same under the race detector; needs a C compiler
	$(GO) test -race -timeout 30m ./...

torture: ## the long versions of the tests under load
	TORTURE=1 $(GO) test -timeout 60m -run 'Load|Kill|Storm|Reload|Upgrade|Stopped|Term|Slow|Flood|BadGuests' -v ./cmd/appserver
	TORTURE=1 $(GO) test -timeout 60m ./host/...
	TORTURE=1 $(GO) test -timeout 20m -run HTTPBin -v ./guests

fuzz: ## each fuzz target for a short while
	scripts/fuzz.sh

fmt: ## format all Go files
	$(GO) run $(gofumpt) -w $$(git ls-files '*.go')

lint: ## gofumpt, vet, staticcheck, go.mod
	GO='$(GO)' GOFUMPT='$(gofumpt)' STATICCHECK='$(staticcheck)' scripts/lint.sh

generate: ## files made from other files
	$(GO) test ./config ./metrics -run Markdown -update

generated: ## fail where a generated file is not up to date
	$(GO) test ./config ./metrics -run Markdown
	testdata/wasm/build.sh --check

wasm: ## the modules of testdata/wasm, byte for byte, from their sources; needs wat2wasm
	testdata/wasm/build.sh

check: lint generated test ## what must pass before a commit

bench: build ## requests per second and CPU per request, beside the same handler native
	$(GO) run ./internal/bench
	$(GO) test ./host/engine -run '^$$' -bench 'Interruption|Neighbour' -benchtime 200x
	$(GO) test ./host/engine -run '^$$' -bench 'Fuel|Reset'
	GOMAXPROCS=1 $(GO) test ./host/httpwasm -run '^$$' -bench Isolation -benchtime 8000x
	GOMAXPROCS=1 $(GO) test ./host/httpwasm -run '^$$' -bench FuelOfRequest -benchtime 450x
	GOMAXPROCS=1 $(GO) test ./host/cgi -run '^$$' -bench Reset
	$(GO) test ./host/engine -run TestGrowIsCheap -count 1 -v
	$(GO) test ./cmd/appserver -run TestWorkersShareCode -count 1 -v

clean:
	rm -f appserver
