# Every target sets up what it needs. `make` alone tells what there is.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
SECOND_CA := .venv-acme2certifier
SECOND_CA_READY := $(SECOND_CA)/.ready
PINNED = $(VENV)-lock/bin/uv pip compile --quiet --universal --upgrade --no-emit-index-url --no-emit-find-links \
	--no-annotate --custom-compile-command "make lock"
AXE := tests/axe/node_modules/.package-lock.json
ONCE ?=
DOMAIN ?=
ROOT ?=
DEMO_PORT ?=
PYTEST_ARGS ?=
FAULTS ?=
BASE ?= 8944518
BASE_TREE := .base/$(BASE)
BASE_READY := $(BASE_TREE)/.venv/.ready
PYTEST_WORKERS ?= 4

help: ## show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

demo: $(READY) ## from a POST to a checked certificate, on this machine (ONCE=1 ends by itself)
	@sh deploy/debian.sh pebble
	@sh deploy/debian.sh redis-server || true
	@$(VENV)/bin/issuer demo $(if $(ONCE),--once) $(if $(DOMAIN),--domain $(DOMAIN)) $(if $(ROOT),--root $(ROOT)) \
		$(if $(DEMO_PORT),--port $(DEMO_PORT))

test: $(READY) $(SECOND_CA_READY) $(AXE) ## all tests, on real Redis and real ACME CAs (PYTEST_WORKERS=0: one after the other)
	@sh deploy/debian.sh redis-server pebble caddy nginx-light haproxy chromium libnss3-tools systemd
	@sh deploy/debian.sh bind9 unbound pdns-recursor prometheus
	@env -u PYTHONDONTWRITEBYTECODE $(VENV)/bin/python -m pytest \
		--numprocesses $(PYTEST_WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

bench: $(READY) ## mass revocation, simulated on a real Redis (DOMAINS=100000)
	@sh deploy/debian.sh redis-server
	@$(VENV)/bin/python -m tests.bench.mass_revocation --domains $(or $(DOMAINS),100000)

bench-lists: $(READY) ## what a page of a list costs at its end, of many domains (DOMAINS=1000000)
	@sh deploy/debian.sh redis-server
	@$(VENV)/bin/python -m tests.bench.listings --domains $(or $(DOMAINS),1000000)

bench-page: $(READY) ## what each view of the operators' page costs, of a thousand domains and of many (DOMAINS=1000000)
	@sh deploy/debian.sh redis-server
	@$(VENV)/bin/python -m tests.bench.page --domains $(or $(DOMAINS),1000000)

bench-commands: $(READY) $(BASE_READY) ## Redis commands of one issuance, beside another release (BASE=rev)
	@sh deploy/debian.sh redis-server pebble
	@ours=$$(PYTHONPATH=. $(VENV)/bin/python tests/bench/redis_commands.py) && \
	theirs=$$(cd $(BASE_TREE) && PYTHONPATH=. .venv/bin/python $(CURDIR)/tests/bench/redis_commands.py) && \
	echo "here $$ours, at $(BASE) $$theirs" | awk '{ print; printf "%.2f of it\n", $$2 / $$5 }'

bench-idle: $(READY) $(BASE_READY) ## Redis commands a second of the idle fleet, beside another release (BASE=rev)
	@sh deploy/debian.sh redis-server
	@ours=$$(PYTHONPATH=. $(VENV)/bin/python tests/bench/idle_commands.py) && \
	theirs=$$(cd $(BASE_TREE) && PYTHONPATH=. .venv/bin/python $(CURDIR)/tests/bench/idle_commands.py) && \
	echo "here $$ours, at $(BASE) $$theirs" | awk '{ print; printf "%.2f of it\n", $$2 / $$5 }'

faults: $(READY) ## plant 41 faults on running fleets, and see whether each is told (FAULTS="no-beat caa")
	@sh deploy/debian.sh redis-server
	@$(VENV)/bin/python -m tests.planted $(FAULTS)

mixed: $(READY) $(BASE_READY) ## a worker of another release beside a fleet of this one (BASE=rev)
	@sh deploy/debian.sh redis-server pebble
	@$(VENV)/bin/python -m tests.bench.mixed_releases $(BASE_TREE)

lint: $(READY) ## style, types, and which module may import which
	@$(MAKE) --no-print-directory --jobs --keep-going --output-sync=target lint-rules lint-format lint-types lint-layers

lint-rules:
	@$(VENV)/bin/ruff check .

lint-format:
	@$(VENV)/bin/ruff format --check .

lint-types:
	@$(VENV)/bin/mypy

lint-layers:
	@$(VENV)/bin/lint-imports

settings: $(READY) ## write docs/settings.md anew, after a change of issuer/config
	@$(VENV)/bin/issuer settings --markdown > docs/settings.md

lock: ## pin the newest versions that pyproject.toml allows, with the hashes of their files
	@$(PYTHON) -m venv $(VENV)-lock
	@$(VENV)-lock/bin/pip install --quiet uv
	@$(PINNED) --generate-hashes --output-file requirements.lock pyproject.toml
	@$(PINNED) --generate-hashes --all-extras --constraint requirements.lock --output-file requirements-dev.lock \
		pyproject.toml
	@echo "acme2certifier gunicorn" | tr ' ' '\n' | $(PINNED) --python-version 3.11 --output-file tests/acme2certifier.txt -
	@rm -r $(VENV)-lock

clean: ## remove the virtual environments and the demo's data
	rm -rf $(VENV) $(SECOND_CA) .demo

$(READY): pyproject.toml requirements-dev.lock | python
	@echo "setting up $(VENV) (half a minute or so)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(VENV)/bin/pip install -qq --disable-pip-version-check --require-hashes --requirement requirements-dev.lock
	@$(VENV)/bin/pip install -qq --disable-pip-version-check --no-deps --editable .
	@touch $@

$(BASE_READY):
	@test -e $(BASE_TREE) || git worktree add --quiet --detach $(BASE_TREE) $(BASE)
	@$(MAKE) --no-print-directory -C $(BASE_TREE) .venv/.ready

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || sh deploy/debian.sh python3-venv

environments: $(READY) $(SECOND_CA_READY) $(AXE) ## both virtual environments; with --jobs=2 at the same time

$(SECOND_CA_READY): tests/acme2certifier.txt | python
	@echo "setting up $(SECOND_CA): a second ACME server, which the tests run as a process of its own (ten seconds or so)"
	@$(PYTHON) -m venv --clear $(SECOND_CA)
	@$(SECOND_CA)/bin/pip install -qq --disable-pip-version-check --requirement $<
	@touch $@

$(AXE): tests/axe/package-lock.json
	@command -v npm >/dev/null || sh deploy/debian.sh npm
	@npm ci --prefix tests/axe --silent --no-audit --no-fund --ignore-scripts
	@touch $@

.PHONY: help python environments demo test bench bench-lists bench-page bench-commands bench-idle faults mixed lint lint-rules lint-format lint-types lint-layers settings lock clean
