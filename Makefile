# Everything runs in .venv, installed from locks with hashes. PYTHON chooses the interpreter to make it with.
PYTHON ?= python3
CORES ?= 4
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: help run test test-slow ui lint docs format bench lock setup clean
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

run: setup ## set up, then run the pipeline (CORES=4; ARGS="--config experiment=flagship data=mnist")
	snakemake --cores $(CORES) $(ARGS)

test: .venv/dev ## set up, then run the tests
	pytest -n 2 -m "not slow" $(ARGS)

test-slow: .venv/dev ## the tests that take minutes
	pytest -m slow $(ARGS)

ui: setup ## the MLflow UI on results/, on this machine only
	nerva ui

lint: .venv/dev ## formatting, style and types
	ruff format --check
	ruff check
	mypy
	snakefmt --check Snakefile workflow
	python workflow/scripts/lint.py
	$(MANUAL) --check manual.md

MANUAL = cd docs && cog -P -p "from excerpts import *"
docs: .venv/dev ## put the code into docs/manual.md
	$(MANUAL) -r manual.md

format: .venv/dev ## format everything
	ruff format
	ruff check --fix
	snakefmt Snakefile workflow

bench: .venv/dev ## the engine's speed beside nerva-numpy's and scikit-learn's, and what tracking costs
	python benchmarks/engine.py
	python benchmarks/tracking.py

setup: .venv/run ## make .venv

.venv/run: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "nerva needs Python 3.11 or newer; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

.venv/dev: .venv/run requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	touch $@

LOCK = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
       --no-header --no-emit-index-url --no-emit-find-links pyproject.toml --extra build
lock: ## resolve the dependencies anew (needs uv)
	$(LOCK) --output-file requirements.lock
	$(LOCK) --extra dev --constraint requirements.lock --output-file requirements-dev.lock

clean: ## remove .venv and caches; results/ stays
	rm -rf .venv .snakemake .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
