# Everything a developer does. `make` or `make help` lists the targets.

PYTHON ?= python3
PYTHONS ?= 3.10 3.12
EXTRAS ?= test
BIN = .venv/bin
ALL = .venv-all/bin
PARALLEL ?= logical
OPTIONS = -n $(PARALLEL) --dist loadfile --benchmark-disable
PYTEST = -m pytest $(OPTIONS) --junitxml=build/junit-$@.xml
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help demo test test-all test-pythons aarch64 dist wheelhouse hardware-check bench lint types check clean

help:  ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: .venv/base  ## fuse the simulated night drive into out/
	@mkdir -p out
	$(BIN)/edgefusion run --output out/fused.mp4 --preview out/preview.png --record out/run.json

test: .venv/test  ## the default test suite
	$(BIN)/python $(PYTEST) -m "not slow" --cov --cov-report=term:skip-covered

test-all: .venv-all/all  ## every test but those of speed, with the training, quantization and RTX rooms and the live view
	$(ALL)/python $(PYTEST) -m "not speed"

test-pythons:  ## the default suite on the other supported Pythons that are installed
	@for version in $(PYTHONS); do .ci/test-python $$version $(OPTIONS) || exit 1; done

aarch64: .venv/test  ## check that everything the vehicle installs resolves (aarch64, Python 3.10 and 3.12)
	$(BIN)/python .ci/aarch64-wheels

dist: .venv/test  ## build the sdist, and the wheel out of it, into dist/
	rm -rf dist
	$(BIN)/python -m build

wheelhouse: dist  ## download all of it into wheelhouse/cp310 (JetPack 6) and cp312 (JetPack 7), to install offline
	$(BIN)/python .ci/aarch64-wheels wheelhouse

hardware-check: .venv-hardware/$(EXTRAS)  ## on a Jetson or RTX machine: run what needs it, write hardware-check.json
	.venv-hardware/bin/python tests/hardware/check.py hardware-check.json

bench: .venv/test  ## measure every stage, and what one thing costs beside another; on a machine that does nothing else
	$(BIN)/python -m pytest tests/bench -s

lint: .venv/test  ## ruff and import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: .venv-all/all  ## mypy --strict
	$(ALL)/mypy

check: lint types test  ## what pre-commit runs

clean:  ## remove environments and what was built
	rm -rf .venv .venv-all .venv-3.* .venv-hardware build dist wheelhouse out *.egg-info

.venv/base: setup.cfg
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -e .
	@touch $@

.venv/test: .venv/base
	$(BIN)/pip install -q -e '.[test]'
	@touch $@

.venv-all/all: setup.cfg
	$(PYTHON) -m venv .venv-all
	$(ALL)/pip install -q -e '.[train,quantize,rtx,view,test]'
	@touch $@

.venv-hardware/$(EXTRAS): setup.cfg
	$(PYTHON) -m venv --system-site-packages .venv-hardware
	.venv-hardware/bin/pip install -q -e '.[$(EXTRAS)]'
	@touch $@
