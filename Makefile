# What a newcomer types: "make run" and "make test". Needed beforehand: Python 3.11, gcc, make, git and pip.
# Everything is installed into $(VENV), once, and again when a pyproject.toml or constraints.txt changes.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
# Arguments for "make run", for example: make run ARGS="--backend pyg --model gat"
ARGS ?=
# Arguments for "make bench", for example: make bench BENCH_ARGS="--rows 'cora-*' --write"
BENCH_ARGS ?=
# What "make test" runs instead of everything, for example: make test T=tests/nn, or make test T="tests -k resume"
T ?=
# Damaged files that "make soak" tries.
INPUTS ?= 20000
# Batches that it trains on with each backend.
BATCHES ?= 60000
# Processes that run tests side by side; each computes with one thread, so that they do not get in each other's way.
# For a few tests it is quicker to start none.
WORKERS ?= $(if $(T),0,2)

# What must run on Python 3.8, the Python of PopTorch.
OLD_PYTHON := gnnkit plugins/gnnkit-pyg/gnnkit_pyg plugins/gnnkit-ipu/gnnkit_ipu
# The versions that PopTorch of the last Poplar SDK was built for, and what is contemporary with them.
OLD_VENV ?= .venv-old
# Where PopTorch's Python layer lies, for "make test-poptorch": a checkout of its sources, or an installed package.
POPTORCH ?=
OLD_STACK := torch==2.0.1 pyg-nightly==2.4.0.dev20230613 'numpy<2' 'pandas<2.1' 'pyarrow<15'

BIN := $(VENV)/bin
PLUGINS := plugins/gnnkit-pyg plugins/gnnkit-dgl plugins/gnnkit-ipu
PROJECTS := pyproject.toml constraints.txt $(addsuffix /pyproject.toml,$(PLUGINS))
INSTALL := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --constraint constraints.txt
EDITABLE := $(addprefix --editable ./,$(PLUGINS))
# Each process takes one half of the tests in their order, so that most fixtures are made once; who is done first helps.
# Bytecode is kept whatever the environment says: or pytest compiles all tests anew, and each process that they start
# all of gnnkit.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup run test test-long soak test-parity test-old-stack test-poptorch check check-lint check-format check-types check-layers check-syntax format docs \
  bench bench-peers bench-scaling bench-cold clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { sub(/:.*/, "", $$1); printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/ready-run ## install gnnkit with the pyg and dgl backends into .venv

run: $(VENV)/ready-run ## train on the embedded data set and show the result
	@$(BIN)/gnnkit run $(ARGS)

test: $(VENV)/ready-test ## run all tests but the long ones, or some of them: make test T=tests/nn
	@$(PYTEST) $(T)

test-long: $(VENV)/ready-test ## run the long tests: whole trainings
	@$(PYTEST) -m long

soak: $(VENV)/ready-test ## damaged files for every reader, and many batches: make soak INPUTS=20000 BATCHES=60000
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz.soak --inputs $(INPUTS)
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.soak.batches --batches $(BATCHES)

test-parity: $(VENV)/ready-test ## run the whole matrix of models, backends and real data: 20 epochs each
	@$(PYTEST) -m "long or not long" tests/parity/test_parity_matrix.py

test-old-stack: $(OLD_VENV)/ready ## run the tests of core, gnnkit-pyg and gnnkit-ipu on torch 2.0.1 (2.5 GB of wheels)
	@OMP_NUM_THREADS=1 $(OLD_VENV)/bin/python -m pytest -n $(WORKERS) tests plugins/gnnkit-pyg plugins/gnnkit-ipu

test-poptorch: $(OLD_VENV)/ready ## run gnnkit-ipu on PopTorch's own Python layer, which lies in POPTORCH=/path
	@test -d "$(POPTORCH)" || { echo "say where PopTorch's Python layer lies: make test-poptorch POPTORCH=/path/to/it"; exit 1; }
	@GNNKIT_POPTORCH="$(abspath $(POPTORCH))" OMP_NUM_THREADS=1 $(OLD_VENV)/bin/python -m pytest -n 0 \
	  plugins/gnnkit-ipu/tests/test_real_layer.py plugins/gnnkit-ipu/tests/emulator/test_like_the_real_layer.py

check: check-lint check-format check-types check-layers check-syntax ## lint, formatting, types, layers, Python 3.8 syntax

check-lint: $(VENV)/ready-check
	@echo "ruff check"
	@$(BIN)/ruff check --quiet .

check-format: $(VENV)/ready-check
	@echo "ruff format"
	@$(BIN)/ruff format --check --quiet .

check-types: $(VENV)/ready-check
	@echo "mypy"
	@$(BIN)/mypy
	@$(BIN)/mypy examples/plugins/*/gnnkit_*/*.py

check-layers: $(VENV)/ready-check
	@echo "import-linter"
	@$(BIN)/lint-imports

check-syntax: $(VENV)/ready-check
	@echo "vermin"
	@$(BIN)/vermin --quiet --no-tips --violations --target=3.8- --exclude long $(OLD_PYTHON)

format: $(VENV)/ready-check ## bring imports and layout into the project's form
	@$(BIN)/ruff check --quiet --fix --select I .
	@$(BIN)/ruff format .

docs: $(VENV)/ready-docs ## run the code in the documentation, build it into site/ and try its search
	@OMP_NUM_THREADS=1 $(BIN)/python docs/snippets.py
	@NO_MKDOCS_2_WARNING=1 OMP_NUM_THREADS=1 $(BIN)/mkdocs build --strict --quiet
	@GNNKIT_SITE=site $(BIN)/python -m pytest -n 0 tests/site
	@echo "open site/index.html"

bench: $(VENV)/ready-test ## measure gnnkit beside its peers' own loops; see docs/benchmarks.md
	@$(BIN)/python -m benchmarks.run $(BENCH_ARGS)

bench-peers: $(VENV)/ready-test ## compile what PyG's NeighborLoader samples with (a quarter of an hour)
	@$(INSTALL) 'setuptools>=70.1' wheel
	@$(BIN)/python -m pip install --no-build-isolation --no-deps torch-scatter torch-sparse

bench-scaling: $(VENV)/ready-test ## measure and draw the cost of a batch over its edges
	@$(BIN)/python -m benchmarks.scaling --write

bench-cold: $(VENV)/ready-test ## measure batches whose features are on disk beside the disk's own rate
	@$(BIN)/python -m benchmarks.cold --write

clean: ## remove what the commands above have made, run folders excepted
	rm -rf $(VENV) $(OLD_VENV) site build *.egg-info plugins/*/*.egg-info plugins/*/build
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(OLD_VENV)/ready: $(PROJECTS)
	@test -n "$(PYTHON)" || { echo "no python3.11 or python3 found: install Python 3.11, or say make PYTHON=/path/to/python"; exit 1; }
	@echo "installing the old stack into $(OLD_VENV)"
	@$(PYTHON) -m venv $(OLD_VENV)
	@$(OLD_VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(OLD_STACK) --editable ".[networkx,pandas]" \
	  pytest pytest-xdist hypothesis tqdm 'setuptools>=70.1,<81'
	@$(OLD_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	  --editable ./plugins/gnnkit-pyg --editable ./plugins/gnnkit-ipu
	@touch $@

$(VENV)/created:
	@test -n "$(PYTHON)" || { echo "no python3.11 or python3 found: install Python 3.11, or say make PYTHON=/path/to/python"; exit 1; }
	@echo "creating $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/ready-run: $(VENV)/created $(PROJECTS)
	@echo "installing gnnkit, gnnkit-pyg, gnnkit-dgl, gnnkit-ipu (a few minutes the first time)"
	@$(INSTALL) --editable . $(EDITABLE)
	@touch $@

$(VENV)/ready-test: $(VENV)/ready-run
	@echo "installing what the tests need"
	@$(INSTALL) --editable ".[test,release]" $(EDITABLE)
	@touch $@

$(VENV)/ready-check: $(VENV)/ready-test
	@echo "installing what the checks need"
	@$(INSTALL) --editable ".[test,check]" $(EDITABLE)
	@touch $@

$(VENV)/ready-docs: $(VENV)/ready-test
	@echo "installing what the documentation needs"
	@$(INSTALL) --editable ".[test,release,docs]" $(EDITABLE)
	@touch $@
