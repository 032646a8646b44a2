# Two commands: `make demo` and `make test`. Each sets up all that it needs in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
OUT ?= demo

# Tests compile much and compute little: XLA compiles seven times faster so. The oracles and the demo are
# compiled as a user's programs are.
QUICKLY_COMPILED := --xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0

# Tests and sites start hundreds of interpreters: without bytecode each would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-oracles lint format bench docs docs-picture clean

demo: $(VENV)/installed
	$(BIN)/undergrowth demo --out $(OUT)

test: $(VENV)/installed-dev
	XLA_FLAGS="$(QUICKLY_COMPILED) $$XLA_FLAGS" $(BIN)/python -m pytest -n 2

test-oracles: $(VENV)/installed-oracles
	$(BIN)/python -m pytest -n 2 tests/oracles

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/installed-bench
	$(BIN)/python -m benchmarks

docs: $(VENV)/installed-docs
	$(BIN)/sphinx-build -q -W -n --keep-going -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

docs-picture: $(VENV)/installed-dev
	$(BIN)/python docs/picture.py $(OUT)

clean:
	rm -rf $(VENV)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"undergrowth needs Python 3.11 or newer, this is {v[0]}.{v[1]}: make PYTHON=python3.11")'
	@echo "setting up $(VENV) (about a minute, once)"
	@$(PYTHON) -m venv $(VENV) >/dev/null || { rm -rf $(VENV); echo "$(PYTHON) cannot make $(VENV): install venv for it (on Debian: apt install python3-venv), then make again" >&2; exit 1; }

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@$(PIP) --editable .
	@touch $@

$(VENV)/installed-bench: pyproject.toml constraints.txt | $(VENV)/bin/python
	@$(PIP) --editable '.[dev,bench]'
	@touch $@ $(VENV)/installed-dev $(VENV)/installed

$(VENV)/installed-oracles: pyproject.toml constraints.txt | $(VENV)/bin/python
	@$(PIP) --editable '.[dev,oracles]'
	@$(PIP) --no-deps lifelines # which asks for pandas 2; what is used of it takes 3, as its tests show
	@touch $@ $(VENV)/installed-dev $(VENV)/installed

$(VENV)/installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/installed

$(VENV)/installed-docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	@$(PIP) --editable '.[docs]'
	@touch $@ $(VENV)/installed
