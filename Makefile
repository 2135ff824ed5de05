# Targets to use; "make help" lists them.

GO       ?= go
PREFIX   ?= /usr/local
SYSCONF  ?= /etc
FUZZTIME ?= 10m
POLICIES ?= 3000
PKG      ?= ./internal/engine/bpf
KERNEL   ?= 6.12
RUN      ?=
TOOL      = $(GO) tool -modfile=tools/go.mod

# The version is what Go takes from git, if there is one: see "build/ipe version".
VCS       = $(if $(shell git rev-parse --verify --quiet HEAD 2>/dev/null),true,false)
BUILDFLAGS = -trimpath -buildvcs=$(VCS) -ldflags "-s -w -buildid="
GOBUILD   = CGO_ENABLED=0 $(GO) build $(BUILDFLAGS)

# 1 if there is a C compiler, and nobody has set it to 0.
CGO       = $(shell $(GO) env CGO_ENABLED)

# Where shells look for completions.
COMPLETE_BASH = $(PREFIX)/share/bash-completion/completions
COMPLETE_ZSH  = $(PREFIX)/share/zsh/site-functions
COMPLETE_FISH = $(PREFIX)/share/fish/vendor_completions.d

# Three packages at a time, on two cores: guests wait now and then, and no test minds
# that they make each other late. A package that boots guests may take 20 minutes
# without hardware virtualisation, and several times that beside other work: one took 76,
# beside two programs that only computed, builds and other guests. Vet has run.
# No process has to sleep for the race detector at its end.
# What chooses among guests, for one who works on some, must not leave any out here.
GOTEST    = env -u IPE_GUEST_RUN -u IPE_VM_KERNEL -u IPE_VM_SNAPSHOT GORACE=atexit_sleep_ms=0 $(TOOL) gotestsum --format pkgname --hide-summary skipped -- -race -vet=off -p 3 -parallel 3 -timeout 150m

.NOTPARALLEL:
.DEFAULT_GOAL := build
.PHONY: build pkcs11 setup demo conformance soak quick vm test wide vet lint generate btf check-generated fuzz bench install install-config clean help

build: $(if $(filter 1,$(CGO)),pkcs11) ## static programs in build/, and pkcs11 if there is a C compiler (the default)
	$(GOBUILD) -o build/ipe ./cmd/ipe
	$(GOBUILD) -o build/iped ./cmd/iped

pkcs11: ## build/ipe-pkcs11, which loads the modules of tokens and so is not static
	CGO_ENABLED=1 $(GO) build $(BUILDFLAGS) -o build/ipe-pkcs11 ./cmd/ipe-pkcs11

setup: ## install what tests and demonstration need (Debian 12)
	@scripts/setup

demo: setup ## show what is denied and what is allowed, on real kernels
	@$(GO) run ./internal/lab/demo

conformance: setup ## compare with the kernel's own IPE, by POLICIES (3000) random policies; writes build/conformance.json
	@mkdir -p build
	@$(GO) run ./internal/lab/differential --policies $(POLICIES) --json build/conformance.json

soak: setup ## real programs of Debian under a strict profile, on KERNEL (6.12; all if empty): downloads 300 MB, takes half an hour
	@IPE_VM_KERNEL=$(KERNEL) IPE_GUEST_RUN='$(RUN)' $(GO) test -tags soak -v -timeout 5h -run '^TestVMSoak' ./internal/lab/soak

quick: ## build, vet and the tests that need no setup, virtual machine or other program
	$(GO) build ./...
	$(GO) vet ./...
	@$(GO) test -vet=off -skip '^Test(VM|Peer)' $$($(GO) list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./...)

vm: ## guest tests of PKG, on KERNEL (6.1, 6.12, newest; all if empty), those that match RUN
	@IPE_VM_KERNEL=$(KERNEL) IPE_GUEST_RUN='$(RUN)' $(GO) test -vet=off -v -timeout 150m -run '^TestVM' $(PKG)

test: setup vet lint check-generated ## everything, on the host and in test guests
	@$(GOTEST) ./...

wide: export IPE_VM_WIDE = 1
wide: test ## everything, and what user space decides on every kernel, too

vet: ## go vet; what runs in guests is vetted by "make lint"
	$(GO) vet ./...
	$(GO) vet -tags soak ./internal/lab/soak

lint: ## linters for Go and C
	$(GO) mod tidy -diff
	$(TOOL) golangci-lint run
	@dead=$$($(TOOL) deadcode -filter 'ipe/(internal|cmd)/' ./cmd/...) && test -z "$$dead" || \
		{ echo "no program calls:"; echo "$$dead"; exit 1; } >&2
	clang-format-16 --dry-run -Werror $(filter-out bpf/layout.gen.h,$(wildcard bpf/*.[ch]))

generate: ## BPF objects, their bindings and the C layout
	$(GO) generate ./internal/engine/bpf ./internal/linux/keyring

btf: ## extracts of the types of the kernels that are tested, and what is expected of them
	$(GO) run ./internal/lab/genbtf internal/engine/bpf/offsets/testdata

check-generated: ## that generating, in another directory, changes nothing
	@scripts/check-generated

fuzz: ## every fuzz target for FUZZTIME (10m)
	@scripts/fuzz $(FUZZTIME)

bench: ## every benchmark
	$(GO) test -run '^$$' -bench . -benchmem ./...

# What an upgrade finds, it keeps: where there is a state, nothing is asked that was not asked before. A package does the same
# when it is first installed, and has the file not among its own.
install-config:
	install -d $(DESTDIR)$(SYSCONF)/ipe/trust.d
	if [ ! -e $(DESTDIR)/var/lib/ipe/index ] && [ ! -e $(DESTDIR)/var/lib/ipe/copy ] && [ ! -e $(DESTDIR)$(SYSCONF)/ipe/iped.conf ]; then \
		install -m 644 init/iped.conf $(DESTDIR)$(SYSCONF)/ipe/iped.conf; fi

install: build install-config ## programs, manual pages, completions and service below DESTDIR and PREFIX
	install -D -m 755 build/ipe $(DESTDIR)$(PREFIX)/bin/ipe
	if [ -e build/ipe-pkcs11 ]; then install -m 755 build/ipe-pkcs11 $(DESTDIR)$(PREFIX)/bin/ipe-pkcs11; fi
	install -D -m 755 build/iped $(DESTDIR)$(PREFIX)/sbin/iped
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man1 doc/ipe.1
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man5 doc/ipe-policy.5 doc/ipe-profile.5 doc/ipe-control.5 doc/ipe-audit.5
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man8 doc/iped.8
	install -d $(DESTDIR)$(COMPLETE_BASH) $(DESTDIR)$(COMPLETE_ZSH) $(DESTDIR)$(COMPLETE_FISH)
	build/ipe completion bash >$(DESTDIR)$(COMPLETE_BASH)/ipe
	build/ipe completion zsh >$(DESTDIR)$(COMPLETE_ZSH)/_ipe
	build/ipe completion fish >$(DESTDIR)$(COMPLETE_FISH)/ipe.fish
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's,/usr/sbin/,$(PREFIX)/sbin/,; s,/usr/bin/,$(PREFIX)/bin/,; s,/etc/ipe,$(SYSCONF)/ipe,' init/iped.service \
		>$(DESTDIR)$(PREFIX)/lib/systemd/system/iped.service
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/lib/systemd/system-generators init/iped-order
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/ipe/examples/iped.service.d init/required.conf

clean: ## remove build/
	rm -rf build

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-16s %s\n", $$1, $$2 }' Makefile
