# The targets that people and CI run. All of them set up what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# What the benchmark compares with, in an environment of its own.
RIVALS := build/rivals
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate pyproject.toml

.PHONY: run test test-malloc chaos check bench bench-guard bench-scale bench-alerts bench-clients bench-dashboards dashboards docs lock clean help

help: ## Show the targets.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

# Compiled while installing, so made anew when any of them changes.
COMPILED := deploy/compile.py $(shell sed -n 's|^    "\(.*\.p[a-z]*\)",$$|\1|p' deploy/compile.py)

$(STAMP): requirements.lock pyproject.toml $(COMPILED)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m deploy.embedded.jars || true # it says what it means; brokers of one's own do without
	touch $@

run: $(STAMP) ## Set up and run it all here, with a simulated shop. Ctrl-C ends it.
	@exec $(BIN)/cx-signals up $(ARGS)

test: $(STAMP) ## All tests: unit, property, contract, integration, deployment; chaos in its short form.
	$(BIN)/python -m pytest -n 3 --dist loadscope --no-loadscope-reorder --ignore tests/chaos $(ARGS)
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/chaos $(ARGS)

test-malloc: $(STAMP) ## The compiled parts under an allocator that overwrites what was freed.
	PYTHONMALLOC=debug $(BIN)/python -m pytest -n 2 --dist loadscope tests/property/test_engines.py \
		tests/property/test_engine_messages.py tests/property/test_engine_state.py tests/property/test_caps.py \
		tests/unit/test_checkpoints.py tests/unit/test_recovery.py tests/integration/test_reader.py $(ARGS)

chaos: $(STAMP) ## Kills, outages, clocks and a soak, in their long form (about 50 min).
	CHAOS=long $(BIN)/python -m pytest tests/chaos $(ARGS)

check: $(STAMP) ## Format, lint, types, layers.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(RIVALS)/.installed: tests/benchmarks/rivals/requirements.lock
	test -x $(RIVALS)/bin/python || $(PYTHON) -m venv $(RIVALS)
	$(RIVALS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

bench: $(STAMP) $(RIVALS)/.installed ## Whole job against others and the floor; by stage; memory; what each event has written (about 35 min).
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.run --rivals $(RIVALS)/bin/python $(ARGS)
	$(BIN)/python -m tests.benchmarks.written
	$(BIN)/python -m tests.benchmarks.written --rate 2000 --stores 240 --seconds 120

bench-guard: $(STAMP) ## Fails if an event takes many more instructions than recorded (about 2 min, needs valgrind).
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.guard $(ARGS)

bench-scale: $(STAMP) ## Cost, checkpoints, recovery from 10,000 to 2 million sessions, 100 to 20,000 segments; two workers (about 10 min).
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.scale $(ARGS)

bench-alerts: $(STAMP) ## How soon and how rightly incidents are found, on drawn weeks (about 30 min).
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.alerts.run $(ARGS)

bench-clients: $(STAMP) ## Event lag while 50 clients use the web server, against none (about 4 min).
	$(BIN)/python -m tests.benchmarks.clients $(ARGS)

bench-dashboards: $(STAMP) ## Every panel's query over three days of 500 segments (about 10 min, 10 GB).
	$(BIN)/python -m tests.benchmarks.dashboards $(ARGS)

dashboards: $(STAMP) ## Make the dashboards' JSON from their code.
	$(BIN)/python -m dashboards.build

docs: $(STAMP) ## Make the reference pages from the code.
	$(BIN)/python -m docs.build

lock: ## Pin all dependencies, with hashes, without addresses.
	$(LOCK) --extra dev --extra embedded -o requirements.lock
	$(LOCK) -o deploy/requirements.lock
	$(subst pyproject.toml,-c requirements.lock deploy/build.in,$(LOCK)) -o deploy/build.lock
	$(subst pyproject.toml,tests/benchmarks/rivals/requirements.in,$(LOCK)) -o tests/benchmarks/rivals/requirements.lock
	$(BIN)/python -m deploy.embedded.jars --lock
	$(BIN)/python -m tests.benchmarks.rivals.flink_jars

clean: ## Remove the virtual environment and caches.
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis
