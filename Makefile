# What a developer does here, one word each. `make` alone lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test test-quick up down status lint ops-check fmt api-test play play-both play-orders bench chaos chaos-embedded doc contract-coverage sim sim-mutants cost scaling

# Sets KAFKA_BROKERS, MONGO_URI and REDIS_ADDR to the local servers, unless the caller has set them.
with_servers := eval "$$(deploy/local/env.sh)"
# Everything but `kafka-tls`, which builds OpenSSL from source: minutes, for nothing that a test here could reach.
features := --features ingest-service/servers,processor-service/servers
scripts := .ci/run $(wildcard deploy/*/*.sh)

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 19
	@echo
	@echo 'Without any server: `cargo run` starts both services in one process.'

run: ## start the servers and the two services on 8080 and 8081; Ctrl-C stops the services (RELEASE=1: optimised)
	@deploy/local/up.sh
	@$(with_servers) && RELEASE=$(RELEASE) deploy/local/run.sh

test: ## start the servers and run every test against them
	@deploy/local/up.sh
	@deploy/local/fetch.sh toxiproxy
	@echo 'The servers keep running after the tests; `make down` stops them.'
	@$(with_servers) && RASTRO_TEST_SERVERS=required cargo test --workspace $(features) --locked

test-quick: ## run the tests that need no server
	@env -u KAFKA_BROKERS -u MONGO_URI -u REDIS_ADDR -u RASTRO_TEST_SERVERS cargo test --workspace $(features) --locked

up: ## start Kafka, MongoDB and Redis in user space
	@deploy/local/up.sh

down: ## stop them (CLEAN=1: and remove their data)
	@CLEAN=$(CLEAN) deploy/local/down.sh

status: ## show which of them run
	@deploy/local/status.sh || true

lint: ## formatting, clippy and, where it is installed, shellcheck
	cargo fmt --all --check
	cargo clippy --workspace --all-targets $(features) --locked -- -D warnings
	@if command -v shellcheck >/dev/null; then set -x; shellcheck $(scripts); else echo 'shellcheck is not installed: the scripts are not checked'; fi

ops-check: ## check alerts, dashboards, docker-compose.yml, manifests, Dockerfile, workflows and dependencies
	@deploy/ops-check/check.sh

fmt: ## format the code
	cargo fmt --all

FILE ?= deploy/play/sample.ndjson
play_options := $(if $(POLICY),--policy $(POLICY)) $(if $(ORDER),--order $(ORDER)) $(if $(SEED),--seed $(SEED)) \
	$(if $(AT_LEAST),--at-least $(AT_LEAST)) $(if $(URL),--url $(URL))
play: ## play parcel histories against a running Rastro and check each outcome (POLICY=strict|field ORDER=time|listed|shuffled SEED=… AT_LEAST=… FILE=… URL=…)
	@cargo run --release --locked -p play -- --expect $(play_options) $(FILE)

play-both: ## play them against the pair and against rastro, both new: the tables must be the same (as play, without URL)
	@deploy/local/up.sh
	@$(with_servers) && POLICY='$(POLICY)' ORDERS='$(ORDER)' SEED='$(SEED)' AT_LEAST='$(AT_LEAST)' deploy/play/both.sh $(FILE)

play-orders: ## the same under the field policy in three orders: all six tables must be the same (SEED=… AT_LEAST=… FILE=…)
	@deploy/local/up.sh
	@$(with_servers) && POLICY=field ORDERS='time listed shuffled' SEED='$(SEED)' AT_LEAST='$(AT_LEAST)' deploy/play/both.sh $(FILE)

bench: ## measure ceilings, the pair and rastro on servers of its own; bench/report.md (ARGS='--quick', ARGS='--only pair,ceilings')
	@deploy/local/fetch.sh kafka mongodb redis
	@cargo run --release --locked -p bench -- report $(ARGS)

scaling: ## measure how processors share the work, join, leave and are killed (PROCESSORS="1 2 4 8" PARTITIONS="12 48" SHIPMENTS=20000 RATE=1000)
	@deploy/local/up.sh
	@$(with_servers) && deploy/bench/scaling.sh

api-test: ## try the API of a new rastro against its own description, with all checks on (MAX_TIME=… SEED=…)
	@MAX_TIME='$(MAX_TIME)' SEED='$(SEED)' deploy/api-test/run.sh

sim: ## run the lane through schedules of faults and compare it with the model (SEED=1 RUNS=100000; RUNS=1: that of the seed)
	@cargo run --quiet --profile sim -p sim --locked -- $(or $(SEED),1) $(or $(RUNS),100000)

sim-mutants: ## break the lane in every way that is listed: the simulator must find each (RUNS=150000)
	@RUNS=$(RUNS) deploy/sim/mutants.sh

cost: ## count what one event costs in instructions and hold it against docs/instructions.md (WRITE=1: write it; KEEP=DIRECTORY: keep the profiles)
	@command -v valgrind >/dev/null || { echo 'valgrind is not installed (Debian: apt-get install valgrind)'; exit 1; }
	@cargo run --quiet --profile sim -p cost --locked -- $(if $(WRITE),write,check) $(KEEP)

chaos: ## break the pair on servers of its own under load, and hold it to account (DURATION=120, in seconds, SEED=1, PARK=4)
	@deploy/local/fetch.sh kafka mongodb redis toxiproxy
	@cargo run --locked -p chaos -- pair --seconds $(or $(DURATION),120) --seed $(or $(SEED),1) --park-seconds $(or $(PARK),4)

chaos-embedded: ## kill rastro under load, again and again, and fill its disk (RUNS=200, SEED=1, PARK=4)
	@cargo run --locked -p chaos -- embedded --runs $(or $(RUNS),200) --seed $(or $(SEED),1) --park-seconds $(or $(PARK),4)

contract-coverage: ## write which test holds which statement of the contract (docs/contract-coverage.md)
	@RASTRO_WRITE_CONTRACT_COVERAGE=1 cargo test -p acceptance --test coverage --locked

doc: ## build the documentation of the code
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace $(features) --no-deps --locked
