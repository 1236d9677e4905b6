# pigpen needs Python 3.11+ and make; no compiler. `make` lists the targets.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/pip --disable-pip-version-check --quiet
SOURCE := pigpen tests benchmarks etc
TESTS  ?= tests
POOL   ?= ./pool

# a stamp for each set of packages: it is older than setup.py or pyproject.toml if they changed
RUN_STAMP  := $(VENV)/.installed-run
TEST_STAMP := $(VENV)/.installed-test
DEV_STAMP  := $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.PHONY: help run install test dav lint types format check bench bench-quick dist clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(RUN_STAMP) ## install, and start a whole cloud in ./pool (POOL=FOLDER for another)
	$(BIN)/pigpen solo $(POOL)

install: $(RUN_STAMP) ## install into .venv only

test: $(TEST_STAMP) ## install, and run all tests (TESTS=tests.test_config for some)
	$(BIN)/python -b -m twisted.trial --random=0 $(TESTS)

dav: $(TEST_STAMP) ## WebDAV alone: its tests, other people's clients, its figures beside Apache
	PIGPEN_ALL_TESTS=1 $(BIN)/python -b -m twisted.trial --random=0 \
	  $(subst /,.,$(basename $(wildcard tests/test_dav_*.py tests/functional/test_webdav_*.py)))
	$(BIN)/python -m benchmarks --only dav,face

lint: $(DEV_STAMP) ## style: ruff
	$(BIN)/ruff check $(SOURCE)
	$(BIN)/ruff format --check $(SOURCE)

types: $(DEV_STAMP) ## types: mypy, strict
	$(BIN)/mypy

format: $(DEV_STAMP) ## bring the code into shape
	$(BIN)/ruff check --fix $(SOURCE)
	$(BIN)/ruff format $(SOURCE)

check: test lint types ## all that must be green

bench: $(RUN_STAMP) ## beside nginx, Apache, rclone, Tahoe-LAFS and SeaweedFS (15 minutes)
	$(BIN)/python -m benchmarks $(BENCH)

bench-quick: $(RUN_STAMP) ## the same in short, with small files: the figures mean little
	$(BIN)/python -m benchmarks --quick $(BENCH)

dist: $(DEV_STAMP) ## build sdist and wheel into dist/
	$(BIN)/python -m build --outdir dist .

clean: ## remove what was made here; ./pool and its data stay
	rm -rf $(VENV) benchmarks/.venvs build dist *.egg-info _trial_temp* .hypothesis \
	       .mypy_cache .ruff_cache .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f twisted/plugins/dropin.cache

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "pigpen needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(RUN_STAMP): $(BIN)/python setup.py pyproject.toml
	$(PIP) install --editable .
	touch $@

$(TEST_STAMP): $(BIN)/python setup.py pyproject.toml
	$(PIP) install --editable '.[test]'
	touch $@ $(RUN_STAMP)

$(DEV_STAMP): $(BIN)/python setup.py pyproject.toml
	$(PIP) install --editable '.[dev]'
	touch $@ $(TEST_STAMP) $(RUN_STAMP)
