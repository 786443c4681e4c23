# What dcalab's users and developers run. Everything that is missing on a
# fresh Debian or Ubuntu machine with Go is installed by scripts/install.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Root is needed to make nodes, and for nothing else.
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
CACHE := .cache
LINT := go tool -modfile=tools/go.mod golangci-lint
RELEASE := go tool -modfile=tools/release/go.mod

.PHONY: help
help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

.PHONY: lab
lab: ## Install what is missing, build dcalab, bring up the default lab with its swarm
	scripts/install sandbox
	$(MAKE) build
	./dcalab --driver sandbox up --swarm
	./dcalab status

.PHONY: build
build: ## Build ./dcalab, static, so that the demo image can be built from it
	CGO_ENABLED=0 go build -o dcalab .

PREFIX ?= /usr/local

.PHONY: install
install: ## Install dcalab, man pages and completions below PREFIX (/usr/local); DESTDIR for packagers
	@[ -x dcalab ] || $(MAKE) build # before, as oneself: root may have no Go
	install -D -m 755 dcalab $(DESTDIR)$(PREFIX)/bin/dcalab
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 docs/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	./dcalab completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/dcalab
	./dcalab completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_dcalab
	./dcalab completion fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/dcalab.fish

# Two lanes beside each other keep two processors busy: virtual machines and engines wait for
# half of their time. A lane that fails lets the other one end.
.PHONY: test
test: ## All checks but the longest: lint, race, fuzz seeds, scenarios on real engines and real machines, cross-builds
	scripts/install sandbox test vm site
	@$(MAKE) --no-print-directory lane/lint
	@$(MAKE) --no-print-directory -j4 lane/code lane/machines # one for each lane, and two more for unit

.PHONY: lane/lint lane/code lane/machines
lane/lint: STAGES := lint
lane/code: STAGES := unit scenarios
lane/machines: STAGES := box machines docker cross test-site test-page
lane/lint lane/code lane/machines:
	@for stage in $(STAGES); do \
		from=$$(date +%s); \
		$(MAKE) --no-print-directory $$stage; \
		echo "make test: $$stage took $$(( $$(date +%s) - from )) s"; \
	done

.PHONY: test-long
test-long: ## make test with all scenarios, each under the race detector, more rounds of stress, and test-vm: before a release
	scripts/install sandbox test vm
	$(MAKE) lint unit scenarios cross docker test-site test-page LONG=1
	$(MAKE) test-vm
	$(MAKE) test-release

.PHONY: lint
lint: ## The linters, of which go vet is one; also holds the arrows between packages
	$(LINT) run ./...
	cd tools/site && go tool -modfile=../go.mod golangci-lint run ./...
	cd tools/page && go tool -modfile=../go.mod golangci-lint run ./...
	shellcheck scripts/* fault/*.sh node/*.sh provision/scripts/*.sh machine/vagrant/*.sh machine/vagrant/testdata/fake-vagrant bench/testdata/*.sh release/testdata/*.sh .ci/run
	$(RELEASE) actionlint

# What needs root is compiled as the user and only run as root, so that the
# build cache stays the user's. The sandbox driver's tests are also PID 1 of the
# nodes that they make: under the race detector they take twice as long, and the
# scenarios that are under it do the same at once. They mostly wait for the
# kernel and for sshd, so the others run meanwhile; what each has printed is
# printed when it ends.
ROOTED := machine/sandbox node provision session fault

.PHONY: unit
unit: ## Unit, property and contract tests, and the seeds of the fuzz targets
	@$(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j3) --output-sync=target $(ROOTED:%=rooted/%) unrooted

.PHONY: unrooted
unrooted: # what vet finds, make lint finds
	cd tools/page && go test -vet=off -count=1 -run Bundle . # web/dist is what web/ui gives; files of another module are not in the cache of tests
	go test -race -vet=off $$(go list ./... | grep -v -e /e2e$$ $(ROOTED:%=-e /%$$))

.PHONY: $(ROOTED:%=rooted/%)
$(ROOTED:%=rooted/%): rooted/%:
	@mkdir -p $(CACHE)/$(@D)
	go test $(if $(LONG),-race,$(if $(filter machine/sandbox,$*),,-race)) -c -o $(CACHE)/$@.test ./$*
	cd $* && $(AS_ROOT) $(CURDIR)/$(CACHE)/$@.test -test.timeout=20m $(if $(LONG),,-test.short)

# Three labs at once keep two processors busy: engines, not dcalab, take the
# time. A program with the race detector takes several times as much of it; so
# it is under the tests that do most at once, and under all of them with LONG=1.
E2E = cd e2e && $(AS_ROOT) env DCALAB_DEMO_BINARY=$(CURDIR)/$(CACHE)/dcalab DCALAB_E2E_BINARY=$(CURDIR)/$(CACHE)/$(1) DCALAB_E2E_RACED=$(CURDIR)/$(CACHE)/$(2) $(CURDIR)/$(CACHE)/e2e.test -test.timeout=90m -test.parallel=3 $(V)

.PHONY: scenarios
scenarios: ## Whole-program scenarios on real engines (RUN=name for one of them; LONG=1 for the long ones too; V=-test.v)
	@mkdir -p $(CACHE)/race
	CGO_ENABLED=0 go build -o $(CACHE)/dcalab .
	go test -c -o $(CACHE)/e2e.test ./e2e
ifdef RUN
	$(call E2E,dcalab,dcalab) -test.run='TestScenarios/$(RUN)' -test.v
else
	go build -race -o $(CACHE)/race/dcalab .
	$(call E2E,$(if $(LONG),race/)dcalab,race/dcalab) $(if $(LONG),,-test.short)
endif

.PHONY: test-vm
test-vm: ## On real virtual machines (Vagrant, libvirt, QEMU): an evening with every command, the driver's contracts (FULL=1: all of them)
	scripts/install vm
	$(MAKE) machines contracts ALL=1

# The Docker of other Debians: 26 and 28. The roots are kept, as the box is.
ENGINES := trixie sid
ON_ENGINES := ^TestElectionSeen$$|^TestScenarios$$/^(first_evening|bootstrap_locked|snapshot|snapshot_managers|image|reset|ports|timeline|status_view|recover|backup|break)$$

.PHONY: test-engines
test-engines: ## An evening, an election, snapshots, autolock and images on newer versions of Docker (ENGINES="trixie sid")
	scripts/install sandbox test vm
	@mkdir -p $(CACHE)
	CGO_ENABLED=0 go build -o $(CACHE)/dcalab .
	CGO_ENABLED=0 go test -c -o $(CACHE)/e2e.test ./e2e
	for suite in $(ENGINES); do \
		$(AS_ROOT) scripts/engine-root $(CACHE)/engines $$suite dockerd --version; \
		( cd e2e && $(AS_ROOT) env DCALAB_DEMO_BINARY=$(CURDIR)/$(CACHE)/dcalab DCALAB_E2E_BINARY=$(CURDIR)/$(CACHE)/dcalab \
			../scripts/engine-root ../$(CACHE)/engines $$suite $(CURDIR)/$(CACHE)/e2e.test -test.timeout=60m -test.parallel=3 -test.run='$(ON_ENGINES)' $(V) ); \
	done

# The box is kept between runs, and nothing else is; make clean removes it.
BED := $(AS_ROOT) $(CURDIR)/scripts/vm-bed $(CURDIR)/$(CACHE)/vm
BOX := $(AS_ROOT) scripts/vm-box $(CACHE)/vm

# What the lane of machines runs is its own: the other lane makes its programs meanwhile.
ON_MACHINES := $(CURDIR)/$(CACHE)/machines

.PHONY: box
box:
	@mkdir -p $(CACHE)/vm $(ON_MACHINES)
	$(BOX)
	CGO_ENABLED=0 go build -o $(ON_MACHINES)/dcalab .
	go test -c -o $(ON_MACHINES)/e2e.test ./e2e

.PHONY: machines
machines: box # a whole session on virtual machines; ALL=1: every script
	cd e2e && $(BED) env DCALAB_E2E_BINARY=$(ON_MACHINES)/dcalab $(ON_MACHINES)/e2e.test -test.run='^TestMachines$$$(if $(ALL),,/evening)' $(if $(ALL),,-test.short) -test.v -test.parallel=1 -test.timeout=40m

.PHONY: contracts
contracts: # the Vagrant driver against machine.Driver and machine.Snapshotter
	@mkdir -p $(CACHE)/vm
	$(BOX)
	go test -c -o $(CACHE)/vagrant.test ./machine/vagrant
	cd machine/vagrant && $(BED) $(CURDIR)/$(CACHE)/vagrant.test -test.run='^TestContract$$|^TestSnapshots$$' $(if $(FULL),,-test.short) -test.v -test.timeout=60m

# A Docker of the test's own, whose base image is the file system of the box.
.PHONY: docker
docker: box ## The docker driver on a real Docker: an evening (LONG=1: and the driver's contracts)
	cd e2e && $(AS_ROOT) env DCALAB_E2E_BINARY=$(ON_MACHINES)/dcalab DCALAB_DOCKER_BASE=$(CURDIR)/$(CACHE)/vm/base $(ON_MACHINES)/e2e.test -test.run='^TestDocker$$$(if $(LONG),,/Scenarios)' $(if $(LONG),,-test.short) -test.v -test.timeout=40m

.PHONY: cross
cross: ## Build for every system that dcalab runs on (LONG=1: for every processor too)
	for target in darwin/arm64 windows/amd64 $(if $(LONG),linux/amd64 linux/arm64 darwin/amd64); do \
		echo "build $$target"; \
		CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} go build -o /dev/null . ; \
	done
	GOOS=windows GOARCH=amd64 go vet ./... # as built above: nothing is compiled twice
	GOOS=darwin GOARCH=arm64 go vet ./...

# A module of its own: nothing of it is in dcalab's go.mod. Links are relative and
# nothing is loaded from elsewhere, so the folder can be copied as it is.
.PHONY: site
site: ## Make the documentation site from docs in .cache/site: open index.html there
	rm -rf $(CACHE)/site
	go run -C tools/site . $(CURDIR) $(CURDIR)/$(CACHE)/site

.PHONY: test-site
test-site: ## The documentation site: links, search, both languages, in a real Chromium
	scripts/install site
	cd tools/site && go test -vet=off ./... # what vet finds, make lint finds

# The page of dcalab serve, bundled from web/ui.
.PHONY: page
page: ## Make web/dist, the page of dcalab serve, anew from web/ui
	go generate ./web

.PHONY: page-types
page-types: ## Check the types of web/ui, which the bundle is made without (npm fetches TypeScript)
	scripts/check-page

.PHONY: test-page
test-page: ## The page of a real lab, in a real Chromium: an election, tasks that move, looking back (SHOTS=folder: keep pictures; LONG=1: and all actions, and thirty nodes)
	scripts/install sandbox site
	cd tools/page && go test -vet=off -c -o $(CURDIR)/$(CACHE)/page.test .
	cd tools/page && $(AS_ROOT) env PATH="$$PATH" $(if $(LONG),LONG=1) $(CURDIR)/$(CACHE)/page.test -test.v -test.timeout=40m -test.run Chromium

# What .goreleaser.yaml says, of what is committed, into dist.
.PHONY: snapshot
snapshot: ## Make the release's files in dist: archives, deb, rpm, formula, manifests, checksums, SBOMs
	$(RELEASE) goreleaser release --snapshot --clean --skip=sign

.PHONY: release
release: # the same, signed and published as a draft: for the release workflow
	$(RELEASE) goreleaser release --clean

.PHONY: completions
completions: # for packages
	mkdir -p $(CACHE)/completions
	for shell in bash zsh fish; do CGO_ENABLED=0 go run -trimpath . completion $$shell > $(CACHE)/completions/dcalab.$$shell; done

.PHONY: cyclonedx
cyclonedx: # what writes the SBOMs
	CGO_ENABLED=0 go build -trimpath -modfile=tools/release/go.mod -o $(CACHE)/cyclonedx-gomod github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod

.PHONY: licenses
licenses: ## Gather the licences of what the program contains into THIRD-PARTY-LICENSES, after a change of go.mod
	scripts/licenses > THIRD-PARTY-LICENSES.new
	mv THIRD-PARTY-LICENSES.new THIRD-PARTY-LICENSES

# What is committed is built; the fresh Debian is the same as that of test-engines.
SUITE := bookworm

.PHONY: test-release
test-release: ## The release: built twice and compared, installed from a proxy, and its deb on a fresh Debian (SUITE=bookworm)
	scripts/install sandbox test vm
	$(RELEASE) goreleaser check
	go test ./release -release.run -timeout=60m -v
	$(MAKE) snapshot
	$(AS_ROOT) scripts/engine-root --install dist/dcalab_linux_$$(go env GOARCH).deb $(CACHE)/engines $(SUITE) bash -eux $(CURDIR)/release/testdata/lab.sh

.PHONY: fuzz
fuzz: ## Fuzz every target for a while (FUZZTIME=1m)
	@for p in $$(go list ./...); do \
		for f in $$(go test -list '^Fuzz' $$p | grep ^Fuzz || true); do \
			echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $${FUZZTIME:-1m} $$p; \
		done; \
	done

.PHONY: bench
bench: ## Measure against the floor, plain ssh and Ansible (ROUNDS=5, ONLY=three|up|thirty|sixty|hundred, LARGE=1)
	scripts/install sandbox bench
	go build -o $(CACHE)/dcalab .
	go test -c -o $(CACHE)/bench.test ./bench
	cd bench && $(AS_ROOT) ../scripts/bench-bed env \
		DCALAB_E2E_BINARY=$(CURDIR)/$(CACHE)/dcalab $(CURDIR)/$(CACHE)/bench.test -test.run='^TestBench$$$(if $(ONLY),/$(ONLY))' -test.v -test.timeout=60m -bench.run $(if $(LARGE),-bench.large) $(if $(ROUNDS),-bench.rounds=$(ROUNDS))

.PHONY: bench-vm
bench-vm: ## Measure up --swarm on real virtual machines against the same typed by hand (ROUNDS=1)
	scripts/install vm bench
	@mkdir -p $(CACHE)/vm
	$(BOX)
	go build -o $(CACHE)/dcalab .
	go test -c -o $(CACHE)/bench.test ./bench
	cd bench && $(BED) env DCALAB_E2E_BINARY=$(CURDIR)/$(CACHE)/dcalab $(CURDIR)/$(CACHE)/bench.test -test.run='^TestBenchMachines$$' -test.v -test.timeout=90m -bench.machines -bench.rounds=$(or $(ROUNDS),1)

.PHONY: clean
clean: ## Remove what was built
	rm -rf dcalab dist $(filter-out $(CACHE)/vm $(CACHE)/engines,$(wildcard $(CACHE)/*))
	[ ! -e $(CACHE)/vm -a ! -e $(CACHE)/engines ] || $(AS_ROOT) rm -rf $(CACHE)/vm $(CACHE)/engines
