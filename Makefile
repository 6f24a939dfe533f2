# Symbi. The commands that people type; each says what it does.

export GOTOOLCHAIN = auto
export GOFLAGS = -mod=mod

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)

# How much of everything `make soak` does.
CHECKS ?= 50000
FUZZ ?= 5m
ROUNDS ?= 10

# Packages that link the Temporal server are tested without the race detector:
# it runs at an eighth of its speed there. All that links it is built without
# cgo, so that it is compiled once.
RACE_PACKAGES = $$(go list ./... | grep -v -e /test/ -e /internal/temporaldev)

.PHONY: help
help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile

.PHONY: build
build: bin/symbi ## build bin/symbi with everything for `symbi dev`, and bin/symbi-init

.PHONY: bin/symbi
bin/symbi: bin/symbi-init
	CGO_ENABLED=0 go build -tags dev -ldflags '$(LDFLAGS)' -o bin/symbi ./cmd/symbi

.PHONY: bin/symbi-init
bin/symbi-init:
	CGO_ENABLED=0 go build -ldflags '-s -w' -o bin/symbi-init ./cmd/symbi-init

.PHONY: setup
setup: ## install and start what is missing: the engine, gVisor, the base images
	deploy/setup.sh

.PHONY: demo
demo: ## from a fresh machine to an agent's report
	deploy/setup.sh
	$(MAKE) build
	examples/strike-report/demo.sh

.PHONY: test
test: ## everything that must hold
	deploy/setup.sh --with test
	$(MAKE) build
	$(MAKE) lint
	CGO_ENABLED=1 go test -race -timeout 10m $(RACE_PACKAGES)
	CGO_ENABLED=0 go test -tags dev -timeout 15m ./internal/temporaldev/... ./test/...

.PHONY: soak
soak: ## the same faults and properties, in full numbers
	deploy/setup.sh --with test
	$(MAKE) build
	CGO_ENABLED=1 go test -race -timeout 30m ./agent ./internal/scheduler -rapid.checks=$(CHECKS)
	CGO_ENABLED=1 go test -timeout 30m ./agent -run '^$$' -fuzz FuzzParse -fuzztime $(FUZZ)
	CGO_ENABLED=1 go test -race -timeout 60m -count $(ROUNDS) ./internal/sandbox
	CGO_ENABLED=0 go test -tags dev -timeout 120m -count $(ROUNDS) ./test/durability ./test/apart
	CGO_ENABLED=0 go test -timeout 120m -count $(ROUNDS) ./test/e2e -run 'Killing|Stopping|StandsStill|Terminate'

.PHONY: lint
lint: ## gofmt, vet and staticcheck
	@unformatted=$$(git ls-files '*.go' | xargs gofmt -l); \
		if [ -n "$$unformatted" ]; then echo "not formatted: $$unformatted"; exit 1; fi
	go vet ./... && go vet -tags dev ./...
	go tool staticcheck ./... && go tool staticcheck -tags dev ./...

.PHONY: generate
generate: ## write the generated code anew
	go generate ./...

.PHONY: bench
bench: build ## measure what the requirements name (ONLY=name,name for some)
	deploy/setup.sh
	CGO_ENABLED=0 go run -tags dev ./test/load/bench -only '$(ONLY)'
