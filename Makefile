# Everything runs in .venv, which is installed from locks with hashes. PYTHON is the interpreter that creates it.
PYTHON ?= python3
CORES ?= 4
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: help run test test-long test-slow test-backends test-cluster test-hydra14 ui lint docs format bench lock setup clean
help: ## show this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

run: setup ## set up, then run the pipeline (CORES=4; ARGS="--config experiment=flagship data=mnist")
	snakemake --cores $(CORES) $(ARGS)

test: .venv/dev ## set up, then run the tests
	pytest -n 2 -m "not long and not slow and not backends and not cluster" $(ARGS)

test-long: .venv/dev ## set up, then run the tests that take about ten seconds or more each
	pytest -n 2 -m long $(ARGS)

test-slow: .venv/dev ## set up, then run the tests that take minutes
	pytest -m slow $(ARGS)

test-backends: .venv/backends ## set up, then run the tests that need PyTorch, JAX and TensorFlow
	pytest -n 2 -m backends $(ARGS)

test-cluster: .venv/cluster ## set up Slurm and PostgreSQL too, on Debian, then run a sweep on a cluster with a tracking server
	tests/cluster/install.sh
	pytest -m cluster $(ARGS)

test-hydra14: .venv-hydra14/dev ## set up .venv-hydra14, then run the tests of configurations and sweeps with Hydra 1.4
	PATH="$(CURDIR)/.venv-hydra14/bin:$(PATH)" pytest -n 2 -m "not long and not slow and not backends and not cluster" \
		tests/experiment/config tests/experiment/sweep tests/cli tests/workflow $(ARGS)

ui: setup ## open the MLflow UI on results/, for this machine only
	nerva ui

lint: .venv/dev ## check formatting, style, types, the workflow and the docs
	ruff format --check
	ruff check
	mypy
	snakefmt --check Snakefile workflow
	python workflow/scripts/lint.py
	$(COG) --check engine.md

COG = cd docs && cog -P -p "from excerpts import *"
docs: .venv/dev ## update the code in docs/engine.md
	$(COG) -r engine.md

format: .venv/dev ## format everything
	ruff format
	ruff check --fix
	snakefmt Snakefile workflow

bench: .venv/backends ## measure the engine and the sweeps against their peers
	for benchmark in engine sweep; do python benchmarks/$$benchmark.py || exit; done

setup: .venv/run ## install the locked packages into .venv

.venv/run: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "nerva needs Python 3.11 or newer; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

.venv/dev: .venv/run requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	touch $@

.venv/backends: .venv/dev requirements-backends.lock requirements-torch.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-backends.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-torch.lock
	touch $@

.venv/cluster: .venv/dev requirements-cluster.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-cluster.lock
	touch $@

.venv-hydra14/dev: requirements-hydra14.lock pyproject.toml
	$(PYTHON) -m venv .venv-hydra14
	.venv-hydra14/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-hydra14.lock
	.venv-hydra14/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

LOCK = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
       --no-header --no-emit-index-url --no-emit-find-links pyproject.toml --extra build
lock: ## resolve the dependencies again and write the locks (needs uv)
	$(LOCK) --output-file requirements.lock
	$(LOCK) --extra dev --constraint requirements.lock --output-file requirements-dev.lock
	$(LOCK) --extra dev --extra jax --extra tensorflow --extra mkl --constraint requirements-dev.lock --output-file requirements-backends.lock
	# What is in the file is kept, apart from what is to be upgraded.
	cp requirements-dev.lock requirements-hydra14.lock
	$(LOCK) --extra dev $(foreach package,hydra-core omegaconf,--upgrade-package $(package) --prerelease-package $(package)=allow) --output-file requirements-hydra14.lock
	$(LOCK) --extra dev --extra slurm --extra cluster-generic --extra server --constraint requirements-dev.lock --output-file requirements-cluster.lock

clean: ## remove .venv and caches, but not results/
	rm -rf .venv .venv-hydra14 .snakemake .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
