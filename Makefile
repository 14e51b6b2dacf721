# `make help` lists the targets. Everything runs as root on a bare Debian 12 or 13
# or Ubuntu with git, make, curl and Go 1.21 or later; make setup says what else
# it installs. Variables: RACE=1 (race detector), P (test packages at a time),
# FUZZTIME (for each fuzz test), BENCHTIME and REST (bench), SEEDS and START (sim), KEEP and STORE (quickstart).

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

P        ?= 1
FUZZTIME ?= 5s
BENCHTIME ?= 20x
MINUTES  ?= 10
RACE     ?=
POINTS   ?= all
REST     ?= 21m
SEEDS    ?= 10000
START    ?= 0
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT   ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
LDFLAGS     := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
GOTEST      := go run ./test/lab/gotest
RACEFLAG    := $(if $(RACE),-race)
# What takes longest begins first, so that nobody waits for it alone in the end.
LONGEST     := ./test/e2e ./test/classes ./test/steps
# Tests that talk to other processes: see gotest -again.
AGAIN       := -again '/(test|cmd|probe/.*|failover/(consul|embedded|notify|hook))(/|$$)'

# A Go older than go.mod asks for fetches that version itself, unless it is told
# not to: then GOTOOLCHAIN=local would only fail.
GO_WANTED := $(shell sed -n 's/^go //p' go.mod)
GO_HAVE   := $(shell GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed 's/^go//; s/[ -].*//')
ifneq ($(if $(GO_HAVE),$(GO_WANTED)),$(firstword $(shell printf '%s\n' $(GO_WANTED) $(GO_HAVE) | sort -V)))
export GOTOOLCHAIN := auto
endif

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r t h; do printf '  %-12s %s\n' "$$t" "$$h"; done

.PHONY: go
go:
	@test/lab/go.sh

.PHONY: setup
setup: go ## Docker, the servers' images, Consul, consul-template: once, some minutes
	@test/lab/setup.sh

.PHONY: build
build: go ## bin/reattach, static
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/reattach ./cmd/reattach

.PHONY: package
package: go ## deb and rpm, in bin/dist (ARCH=arm64 for another machine)
	@test/lab/tools.sh nfpm
	@VERSION='$(VERSION)' COMMIT='$(COMMIT)' deployments/package/build.sh

.PHONY: image
image: go ## reattach:latest, from scratch, and reattach:debian (IMAGE=registry/name)
	@VERSION='$(VERSION)' COMMIT='$(COMMIT)' deployments/docker/build.sh

.PHONY: test
test: setup ## all tests, those against real servers too
	@go build ./...
	@export REATTACH_REQUIRE_LAB=1; unset REATTACH_FAST; \
	if [ -z "$${REATTACH_LAB_RUN:-}" ]; then \
		export REATTACH_LAB_RUN=$$(date +%s)-$$$$; \
		trap 'test/lab/sweep.sh "$$REATTACH_LAB_RUN"' EXIT; \
	fi; \
	$(GOTEST) -strict $(AGAIN) -counts "$${REATTACH_COUNTS:-}" -- $(RACEFLAG) -count=1 -p $(P) -timeout 20m $(LONGEST) ./...

.PHONY: test-fast
test-fast: go ## the tests that need no Docker, under a minute; names those left out
	@export REATTACH_FAST=1; unset REATTACH_REQUIRE_LAB; \
	$(GOTEST) $(if $(CI),-strict) -- $(RACEFLAG) -timeout 60s ./...

.PHONY: race
race: go ## the same under the race detector
	@command -v gcc > /dev/null || test/lab/packages.sh gcc libc6-dev
	@export REATTACH_FAST=1; unset REATTACH_REQUIRE_LAB; \
	CGO_ENABLED=1 $(GOTEST) $(AGAIN) -- -race -count=1 -timeout 10m ./...

.PHONY: vet
vet: go ## go vet
	@go vet ./...

.PHONY: lint
lint: go ## gofmt and staticcheck
	@test -z "$$(gofmt -l . | tee /dev/stderr)" || { echo "gofmt -w these files" >&2; exit 1; }
	@go run $(STATICCHECK) ./...

.PHONY: arch
arch: go ## the arrows of import
	@go test -count=1 -run Arch ./test/

.PHONY: fuzz
fuzz: go ## every fuzz test of the tree for FUZZTIME each
	@test/lab/fuzz.sh $(FUZZTIME)

.PHONY: quickstart
quickstart: go ## watch real servers die, and an application move to their standbys
	@$(MAKE) --no-print-directory -s -j2 quickstart-lab quickstart-programs
	@exec bin/quickstart

# The package servers and the compiler keep different things busy.
.PHONY: quickstart-lab quickstart-programs
quickstart-lab: go
	@REATTACH_SERVERS_ONLY=1 test/lab/setup.sh engine images consul-template $(if $(filter consul,$(STORE)),consul)
quickstart-programs: build
	@CGO_ENABLED=0 go build -trimpath -o bin/quickstart-app ./test/quickstart/app
	@go build -o bin/quickstart ./test/quickstart

.PHONY: sim
sim: go ## SEEDS seeds of the simulation from START on; SEED=n tells the story of one
	@go build -o bin/sim ./test/sim/cmd
	@exec bin/sim $(if $(SEED),-seed $(SEED) -v,-seeds $(SEEDS) -start $(START))

.PHONY: mutants
mutants: go ## without each gate, rule and guard in turn: what catches it (KNOWN=1: on known seeds only; UPDATE=1: keep it)
	@go build -o bin/mutants ./test/sim/cmd/mutants
	@exec bin/mutants $(if $(KNOWN),-known) $(if $(UPDATE),-update)

.PHONY: bench
bench: setup ## figures on real servers, half an hour (REST=1m: some minutes); not a part of make test
	@run=bench-$$(date +%s)-$$$$; export REATTACH_LAB_RUN=$$run REATTACH_REQUIRE_LAB=1; \
	trap 'test/lab/sweep.sh "$$REATTACH_LAB_RUN"' EXIT; \
	go test -run '^$$' -bench Handle -benchtime $(BENCHTIME) -timeout 30m ./test/bench; \
	go test -run '^$$' -bench Endpoints -benchtime 1x ./test/bench; \
	go test -run '^$$' -bench 'Observed|Tick|Ballot' -benchmem ./failover; \
	go test -count=1 -v -run 'FleetAtRest|BallotsAtOnce' -timeout 60m ./test/bench -resources 200 -rest $(REST)

.PHONY: crashpoints
crashpoints: setup ## kill an observer at every boundary of its effects, start it again, look (POINTS=sample, SEED)
	@mkdir -p bin
	@go test -c -o bin/crashpoints ./test/crash
	@cd test/crash && REATTACH_REQUIRE_LAB=1 ../../bin/crashpoints -test.timeout 60m -seed $(or $(SEED),0) $(if $(filter sample,$(POINTS)),-budget 90s,-all)

.PHONY: chaos
chaos: setup ## three observers and Consul servers: faults at random for MINUTES (SEED=0: others each time)
	@run=chaos-$$(date +%s)-$$$$; export REATTACH_LAB_RUN=$$run REATTACH_REQUIRE_LAB=1; \
	trap 'test/lab/sweep.sh "$$REATTACH_LAB_RUN"' EXIT; \
	go test -count=1 -v -run Random -timeout 0 ./test/chaos -minutes $(MINUTES) -seed $(or $(SEED),0)

.PHONY: clean
clean: ## remove the lab's containers, networks and volumes, and bin/
	@test/lab/sweep.sh
	@rm -rf bin
