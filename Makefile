# Everything a newcomer, a developer and the build server do. `make demo` and `make test` each set up what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_LOCK := requirements/run.lock
DEV_LOCK := requirements/dev.lock

.PHONY: help setup setup-dev demo test check simulate crashes mutations bench docs tour contract lock clean

help:
	@echo "make demo     set up and watch a city for a minute"
	@echo "make test     set up and run all tests"
	@echo "make check    lint, types, import contracts, docs kept true"
	@echo "make simulate seeded weeks with faults at every turn: make simulate SEEDS=1000"
	@echo "make crashes  kill -9, full disks and more, under load: make crashes TIMES=200"
	@echo "make mutations deliberate bugs, each of which must be caught"
	@echo "make bench    measure speed on SQLite and PostgreSQL against baselines of the same run: make bench ARGS=--quick"
	@echo "make setup    only make $(BIN)/safeweave"
	@echo "make docs     write the generated reference pages anew"
	@echo "make tour     take the pictures of docs/pages_tour.md anew, from a demo in each language"
	@echo "make contract compile the contract of the ledger on a chain anew"
	@echo "make lock     pin the newest allowed versions anew"

setup: $(VENV)/.run
setup-dev: $(VENV)/.dev
	@requirements/postgresql.sh $(BIN)/python
	@requirements/chain.sh
	@requirements/pages.sh

$(VENV)/.run: $(RUN_LOCK) pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes -r $(RUN_LOCK)
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(DEV_LOCK) $(VENV)/.run
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes -r $(DEV_LOCK)
	@touch $@

demo: setup
	@$(BIN)/safeweave demo $(ARGS)

test: setup-dev
	@$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

check: setup-dev
	$(BIN)/ruff check src tests
	$(BIN)/ruff format --check src tests
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q tests/architecture

SEEDS ?= 100
FROM ?= 1
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
simulate: setup
	@$(BIN)/python -m safeweave_simulator.simulation --seeds $(SEEDS) --from $(FROM) --jobs $(JOBS) $(ARGS)

TIMES ?= 200
crashes: setup-dev
	@$(BIN)/python -m tests.simulation.crashes --times $(TIMES) $(ARGS)

mutations: setup-dev
	@$(BIN)/python -m tests.simulation.mutations $(ARGS)

bench: setup-dev
	@$(BIN)/python -m tests.bench.with_postgresql $(ARGS)

docs: setup-dev
	@$(BIN)/python -m tests.architecture.write_docs

tour: setup-dev
	@$(BIN)/python -m tests.pages.tour $(ARGS)

contract: setup-dev
	@$(BIN)/python -m tests.ledger.chain.compiler

lock:
	$(BIN)/python -m pip --disable-pip-version-check install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 pyproject.toml --group build --extra bulk -o $(RUN_LOCK)
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 pyproject.toml --group build --extra dev -o $(DEV_LOCK)

clean:
	rm -rf $(VENV) safeweave-data requirements/chain/node_modules requirements/pages/node_modules
