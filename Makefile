# NanoClaw. `make run` is all a new machine needs; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build
MAKEFLAGS += --no-print-directory
# Go may be installed and not on the PATH; what is on the PATH wins.
export PATH := $(PATH):/usr/local/go/bin

GO_NEEDED := $(shell sed -n 's/^go //p' go.mod)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
SKILLS := $(patsubst skills/%/skill.toml,%,$(wildcard skills/*/skill.toml))
GOBUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=false
FUZZTIME ?= 10s

# The tools of `make check`, and nowhere else.
GOFUMPT := go run mvdan.cc/gofumpt@v0.12.0
STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
DEADCODE := go run golang.org/x/tools/cmd/deadcode@v0.52.0

# STAGE NAME COMMAND… runs COMMAND and says how long it took.
STAGE := stage() { local TIMEFORMAT="  %1R s  $$1"; shift; time "$$@"; }; stage

CRASHES ?= 200

.PHONY: audit help build skills run test test-all test-claude soak test-gvisor test-vm gvisor-short gvisor test-engine29 engine29 check toolchains format vet dead tidy cross bench lines fuzz clean go docker race FORCE

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 12

build: bin/nanoclaw bin/nanoclaw-runner ## both programs into bin/, the bundled skills into plugins/ (default)
	@$(MAKE) -j2 BUILT=1 skills

# The programs are built each time (Go decides what is stale) but replaced only when
# they differ, so that the skills are rebuilt only when the tool that builds them changed.
ifndef BUILT
bin/nanoclaw: FORCE | go
	@mkdir -p bin && echo "building $@ (a few minutes the first time)"
	@$(STAGE) $@ env $(GOBUILD) -ldflags '-s -w -X main.Version=$(VERSION)' -o $@.new ./cmd/nanoclaw
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

# No version is stamped into the runner: its digest is its name, and every admitted
# skill is compiled again when it changes. It is built for the Docker daemon's machine.
bin/nanoclaw-runner: FORCE bin/nanoclaw | go
	@arch=$$(bin/nanoclaw doctor --arch) && echo "building $@ (linux/$$arch)" && \
	$(STAGE) $@ env GOOS=linux GOARCH=$$arch $(GOBUILD) -tags nethttpomithttp2 -ldflags '-s -w' -o $@.new ./cmd/nanoclaw-runner
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
endif

skills: $(SKILLS:%=plugins/%.wasm)

.SECONDEXPANSION:
plugins/%.wasm: bin/nanoclaw $$(shell find skills/$$* skills/internal sdk -type f -name '*.go' ! -name '*_test.go') \
		skills/%/skill.toml $$(wildcard skills/%/SKILL.md) | bin/nanoclaw-runner
	@echo "building $@"
	@quietly() { bin/nanoclaw skill build skills/$* -o $@ >bin/$*.log 2>&1 || { cat bin/$*.log >&2; return 1; }; }; \
	$(STAGE) $@ quietly

run: build docker ## build everything, make sure that Docker answers, open a chat
	@bin/nanoclaw chat

docker: build
	@bin/nanoclaw doctor --docker --fix --yes

# asc of `make toolchains`, for whoever has none of his own.
export PATH := $(PATH):$(CURDIR)/bin/toolchains/node_modules/.bin

test: build docker race toolchains ## every test, those that need Docker included
	@$(STAGE) test go test -race -short -timeout 30m ./...
	@$(STAGE) "test, without -race" go test -run '^TestAmbiguousSend$$' ./host/channel/whatsapp/fakewa

test-all: build docker race toolchains ## what takes longer too: long tests, and each fuzz target for FUZZTIME
	@$(STAGE) test-all go test -race -timeout 60m ./...
	@$(STAGE) phone go test -timeout 30m ./cmd/nanoclaw/internal/phone -rounds 20
	@$(MAKE) fuzz

test-claude: build docker ## unmodified Claude Code from npm in an agent's container (NANOCLAW_TEST_BASE=IMAGE to build on one)
	@$(STAGE) test-claude go test -count=1 -timeout 40m -v -run '^TestClaudeCode$$' ./cmd/nanoclaw

# What apt has none of is built from its module; `doctor` registers it with the Docker daemon.
GVISOR := gvisor.dev/gvisor/runsc@v0.0.0-20260905035102-160fafc42237
ON_GVISOR := env NANOCLAW_TEST_RUNTIME=runsc go test -count=1

gvisor: build docker
	@command -v runsc >/dev/null || { command -v apt-get >/dev/null && apt-get -qq update && \
		apt-cache show runsc 2>/dev/null | grep -q ^Package; } || env CGO_ENABLED=0 GOBIN=/usr/local/bin go install $(GVISOR)
	@bin/nanoclaw doctor --fix --yes --runtime runsc

audit: build docker ## score a live agent container: docker-bench-security section 5, and amicontained
	@bin/nanoclaw doctor --audit-container
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && (cd "$$dir" && go mod init x 2>/dev/null && \
		go mod edit -require=github.com/genuinetools/amicontained@v0.4.9 && \
		CGO_ENABLED=0 go build -mod=mod -o amicontained github.com/genuinetools/amicontained) && \
		NANOCLAW_AMICONTAINED="$$dir/amicontained" go test -count=1 -timeout 2m -v -run '^TestAmicontained$$' ./host/container

test-gvisor: gvisor ## the suites that run agents, on gVisor instead of runc
	@$(STAGE) test-gvisor $(ON_GVISOR) -short -timeout 30m ./host/container ./host/agent ./cmd/nanoclaw

# Debian has no Engine 29 yet: it is built from its modules, with the containerd and runc that it needs, and runs beside
# the machine's own in a network namespace of its own: a second daemon would take the first one's bridge away.
ENGINE29 := $(CURDIR)/bin/engine29
ENGINE29_AT := /run/nanoclaw-engine29
engine29: | go
	@[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo "make: test-engine29 needs root, on Debian" >&2; exit 1; }
	@export GOBIN=$(ENGINE29) DEBIAN_FRONTEND=noninteractive; [ -x $(ENGINE29)/dockerd ] || { \
		echo "building Engine 29 (some minutes)"; \
		apt-get -qq update; \
		apt-get -qq install -y --no-install-recommends libseccomp-dev pkg-config gcc libc6-dev util-linux </dev/null >/dev/null; \
		CGO_ENABLED=1 go install -tags seccomp github.com/opencontainers/runc@v1.5.2; \
		CGO_ENABLED=0 go install github.com/containerd/containerd/v2/cmd/containerd@v2.4.2 \
			github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2@v2.4.2; \
		CGO_ENABLED=0 go install -ldflags '-X github.com/moby/moby/v2/dockerversion.Version=29.0.0' \
			github.com/moby/moby/v2/cmd/dockerd@v2.0.0-beta.24; }

test-engine29: build docker toolchains engine29 ## the suites that run agents, on Docker Engine 29 with its containerd image store
	@mkdir -p $(ENGINE29_AT); unshare --net env PATH=$(ENGINE29):$$PATH $(ENGINE29)/dockerd --iptables=false --ip6tables=false \
		--data-root /var/lib/nanoclaw-engine29 --exec-root $(ENGINE29_AT) --pidfile $(ENGINE29_AT)/pid \
		-H unix://$(ENGINE29_AT)/docker.sock >$(ENGINE29)/dockerd.log 2>&1 & daemon=$$!; \
	trap 'kill $$daemon; wait $$daemon || true' EXIT; \
	export DOCKER_HOST=unix://$(ENGINE29_AT)/docker.sock; \
	for i in $$(seq 60); do [ -S $(ENGINE29_AT)/docker.sock ] && docker version >/dev/null 2>&1 && break; sleep 1; done; \
	docker version --format 'Engine {{.Server.Version}}, API {{.Server.APIVersion}}'; docker info --format '{{.Driver}} {{.DriverStatus}}'; \
	$(STAGE) test-engine29 go test -count=1 -short -timeout 40m ./host/container ./host/agent ./cmd/nanoclaw

gvisor-short: gvisor ## of them: containment and a real runner
	@$(STAGE) gvisor-short $(ON_GVISOR) -timeout 10m -run '^(TestContainment|TestRealRunner)$$' ./host/container ./host/agent

test-vm: build ## boot a virtual machine (QEMU, no KVM) with Docker and NanoClaw, break out of a container in it
	@type qemu-system-x86_64 debootstrap mkfs.ext4 >/dev/null 2>&1 || { \
		command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] || { \
			echo "make: as root on Debian: apt-get install qemu-system-x86 debootstrap e2fsprogs" >&2; exit 1; }; \
		echo "installing QEMU, debootstrap and e2fsprogs"; export DEBIAN_FRONTEND=noninteractive; apt-get -qq update; \
		apt-get -qq install -y --no-install-recommends qemu-system-x86 debootstrap e2fsprogs </dev/null >/dev/null; }
	@$(STAGE) test-vm env NANOCLAW_TEST_VM=1 go test -count=1 -timeout 100m -v -run '^TestVM$$' ./cmd/nanoclaw/internal/vm

# The race detector needs a C compiler.
race: | go
	@command -v "$$(go env CC | cut -d' ' -f1)" >/dev/null || { \
		command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] || { \
			echo "make: the race detector needs a C compiler: install gcc and run again" >&2; exit 1; }; \
		echo "installing gcc for the race detector"; export DEBIAN_FRONTEND=noninteractive; \
		apt-get -qq update; apt-get -qq install -y --no-install-recommends gcc libc6-dev </dev/null >/dev/null; }

soak: build docker ## kill the program CRASHES times at failpoints and at random; SEED=n replays from there
	@$(STAGE) soak go test -timeout 60m ./cmd/nanoclaw/internal/crash -run TestCrash -v -runs $(CRASHES) \
		-seed $(or $(SEED),$$(date +%s)) -containers 20 | grep -v -e '=== ' -e '    --- PASS'

check: format vet dead tidy cross ## formatting, vet, staticcheck, dead code, go.mod, builds for every platform

format: | go
	@diff=$$($(GOFUMPT) -d . || true); [ -z "$$diff" ] || { \
		echo "$$diff"; echo "make: not formatted; this does it: $(GOFUMPT) -w ." >&2; exit 1; }

vet: | go
	@$(STAGE) vet go vet ./...
	@$(STAGE) "vet, tags" sh -c 'go vet -tags "fakewa failpoints" ./cmd/... ./host/... && go vet -tags nowhatsapp ./cmd/nanoclaw'
	@$(STAGE) "vet, wasm" env GOOS=wasip1 GOARCH=wasm go vet ./sdk/... ./skills/...
	@$(STAGE) staticcheck $(STATICCHECK) ./...
	@$(STAGE) "staticcheck, wasm" $(STATICCHECK) -matrix ./sdk/... ./skills/... <<<'wasm: GOOS=wasip1 GOARCH=wasm'

# A secret.Key has methods that nothing calls: they are there so that nothing can print it.
dead: | go
	@dead=$$($(DEADCODE) -test ./...); [ -z "$$dead" ] || { \
		echo "$$dead"; echo "make: functions that nothing calls" >&2; exit 1; }
	@dead=$$($(DEADCODE) -filter '/(cmd|host)' ./cmd/nanoclaw ./cmd/nanoclaw-runner | grep -v ' Key\.' || true); \
		[ -z "$$dead" ] || { echo "$$dead"; echo "make: functions that only tests call" >&2; exit 1; }

tidy: | go
	@go mod tidy -diff

cross: | go
	@for p in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64; do \
		$(STAGE) "nanoclaw $$p" env GOOS=$${p%/*} GOARCH=$${p#*/} $(GOBUILD) -o /dev/null ./cmd/nanoclaw; done
	@for a in amd64 arm64; do \
		$(STAGE) "nanoclaw-runner linux/$$a" env GOOS=linux GOARCH=$$a $(GOBUILD) -o /dev/null ./cmd/nanoclaw-runner; done

bench: build docker toolchains ## measure; prints a table and writes bench.json
	@go run ./host/daemon/bench -o bench.json

# The languages of skills besides Go. NEED prints the Debian packages that are missing.
ASC := $(shell sed -n 's/^const ascVersion = "\(.*\)"/\1/p' cmd/nanoclaw/internal/kit/lang.go)
define NEED
need() { \
	command -v clang >/dev/null || echo clang; command -v wasm-ld >/dev/null || echo lld; \
	[ -n "$$(ls {/usr,$$(rustc --print=sysroot 2>/dev/null)}/lib/rustlib/wasm32-wasi*/lib/libstd-*.rlib 2>/dev/null)" ] || \
		echo rustc libstd-rust-dev-wasm32; \
	command -v cargo >/dev/null || echo cargo; command -v cc >/dev/null || echo gcc libc6-dev; \
	[ -e /usr/include/wasm32-wasi/stdio.h ] || echo wasi-libc; \
	command -v clang >/dev/null && [ -e "$$(clang --target=wasm32-wasi -print-libgcc-file-name)" ] || echo libclang-rt-dev-wasm32; \
	command -v node >/dev/null || echo nodejs; command -v npm >/dev/null || echo npm; }
endef

toolchains: ## install what skills in Rust, C and AssemblyScript are built with (Debian; else say what is missing)
	@$(NEED); if [ -n "$$(need)" ]; then \
		command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] || { \
			echo "make: toolchains of skills are missing; as root on Debian: apt-get install" $$(need) >&2; exit 1; }; \
		echo "installing the toolchains of skills"; export DEBIAN_FRONTEND=noninteractive; \
		apt-get -qq update; apt-get -qq install -y --no-install-recommends $$(need) </dev/null >/dev/null; fi
	@grep -qs '"version": "$(ASC)"' bin/toolchains/node_modules/assemblyscript/package.json || { \
		echo "installing assemblyscript $(ASC)"; npm install --loglevel=error --no-audit --no-fund --prefix bin/toolchains assemblyscript@$(ASC); }

lines: | go ## how much there is to audit
	@go test -count=1 -run '^TestBudget$$' -v ./host | sed -n '/^|/p; /FAIL/p'

fuzz: | go ## each fuzz target for FUZZTIME (10s)
	@grep -rl --include='*_test.go' '^func Fuzz' cmd host sdk skills | while read -r file; do \
		sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$$file" | while read -r name; do \
			$(STAGE) "$$name" go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x "./$${file%/*}" </dev/null || exit 1; \
		done || exit 1; done

clean: ## remove what was built
	@rm -rf bin bench.json $(SKILLS:%=plugins/%.wasm)

go:
	@command -v go >/dev/null || { echo "make: Go is missing: install Go $(GO_NEEDED) or newer, see https://go.dev/dl/" >&2; exit 1; }
	@have=$$(go env GOVERSION 2>/dev/null || GOTOOLCHAIN=local go env GOVERSION); have=$${have#go}; have=$${have%%[- ]*}; \
	[ "$$have" = devel ] || [ "$$(printf '%s\n' "$(GO_NEEDED)" "$$have" | sort -V | head -n 1)" = "$(GO_NEEDED)" ] || { \
		echo "make: Go $$have is too old: install Go $(GO_NEEDED) or newer, see https://go.dev/dl/" >&2; exit 1; }
