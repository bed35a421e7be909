# install, run, check, test, docs, bench: CI calls the same. All but install make .venv when it is missing.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := run
.PHONY: install run check test docs bench lock

install: .venv/installed ## make .venv with everything, at the locked versions

.venv/installed: requirements-dev.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 15) else "LiveOps Ledger needs Python 3.11 to 3.14; name one with: make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

run: install ## start everything on this machine, play the tour, stay up
	$(BIN)/liveops up --tour

check: install ## format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

test: install ## the whole default suite, on two cores
	$(BIN)/pytest -n 2 --dist worksteal

docs: install ## write the generated pages anew
	$(BIN)/python -m docs.generate

bench: install .venv/peers/installed ## measure, and write the tables in benchmarks/
	$(BIN)/python -m benchmarks

# The peers' SDKs stay by themselves: some of what they ask for, ours cannot be installed with.
.venv/peers/installed: .venv/installed requirements-bench.lock
	$(BIN)/python -m venv --clear .venv/peers
	.venv/peers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.lock
	touch $@

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate
RESOLVE := $(COMPILE) --extra server --extra embedded

lock: ## resolve the locked versions anew, for every supported Python and platform
	$(RESOLVE) --group dev --output-file requirements-dev.lock pyproject.toml
	$(RESOLVE) --constraint requirements-dev.lock --group build --output-file requirements.lock pyproject.toml
	$(COMPILE) --group bench --output-file requirements-bench.lock pyproject.toml
