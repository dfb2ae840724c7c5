.DEFAULT_GOAL := help
.PHONY: help build test demo bench verify lint fmt

help: ## list these commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-16s%s\n", $$1, $$2 }'

build: ## build bin/scheduler
	go build -o bin/scheduler ./cmd/scheduler

test: ## run all tests, on a private PostgreSQL and with the race detector
	@scripts/setup tests
	@$(MAKE) --no-print-directory build # which tests of examples find done, or two of them would write it at once
	go vet ./...
	go run ./internal/pgtest/withpg -- go test $$(scripts/setup race) ./... -timeout 20m

demo: ## count the Go standard library with two workers, one of which is killed
	@scripts/setup
	go run ./examples/stdlib

bench: ## compare with other queues on this machine; ARGS=--quick to try it
	@scripts/setup
	cd bench && go run ./run $(ARGS)

verify: lint ## run all that CI runs
	@$(MAKE) --no-print-directory test

lint: ## check the format, vet, staticcheck
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "not formatted (make fmt does it):"; echo "$$unformatted"; exit 1; } >&2
	go vet ./...
	go tool -modfile=tools/go.mod staticcheck ./...

fmt: ## format all Go files
	gofmt -w .
