# Two commands: `make run` serves the site with its demo, `make test` runs the tests.
# Needed: python3 (3.11 or later) and make. What else is needed is installed into $(VENV), once.
#
#   make run PORT=9000            another port; HOST=0.0.0.0: on every address of this machine
#   make test ARGS="-k where"     more words for pytest
#   make test-long                many more cases, and 20 minutes of killed processes
#   make run PYTHON=python3.13 VENV=.venv-3.13
#   DATABASE_URL=postgres://...   PostgreSQL instead of SQLite (`make test`: after SQLite)

PYTHON ?= python3
VENV ?= .venv
HOST ?= 127.0.0.1
PORT ?= 8000
ARGS ?=

BIN := $(VENV)/bin
# The database that `make test` uses after SQLite, if one is named.
TEST_URL := $(or $(TEST_DATABASE_URL),$(filter postgres%,$(DATABASE_URL)))

comma := ,
RUN_EXTRAS := server,openapi,xlsx$(if $(filter postgres%,$(DATABASE_URL)),$(comma)postgres)$(if $(REDIS_URL),$(comma)redis)
# One stamp for each set of extras: it is newer than what it was installed from, or it is done again.
RUN_STAMP := $(BIN)/.installed-$(subst $(comma),-,$(RUN_EXTRAS))
DEV_STAMP := $(BIN)/.installed-dev

.PHONY: help run test test-long install-dev format lint check docs screenshots script-editor clean
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 24

run: $(RUN_STAMP) ## serve the site with its demo on http://127.0.0.1:8000/
	@$(BIN)/python -c "$$PORT_IS_FREE" $(HOST) $(PORT)
	@$(BIN)/python manage.py migrate --verbosity 0
	@$(BIN)/python manage.py loaddemo --host $(HOST) --port $(PORT)
	@exec $(BIN)/python -m project.serve --host $(HOST) --port $(PORT)

test: $(DEV_STAMP) ## run the tests on SQLite, and on PostgreSQL if DATABASE_URL names one
	env -u DATABASE_URL $(BIN)/python -m pytest -n auto $(ARGS)
	$(if $(TEST_URL),@DATABASE_URL='$(TEST_URL)' $(BIN)/python -m pytest -n auto $(ARGS))

# The faults need the programs of a PostgreSQL server, which they start themselves.
test-long: $(DEV_STAMP) ## the same with many more cases, and 20 minutes of killed processes
	env -u DATABASE_URL ROWKEEPER_TEST_LONG=1 $(BIN)/python -m pytest -n auto $(ARGS)
	$(if $(TEST_URL),@DATABASE_URL='$(TEST_URL)' ROWKEEPER_TEST_LONG=1 \
		$(BIN)/python -m pytest -n auto $(ARGS))
	env -u DATABASE_URL $(BIN)/python -m tests.faults.run --seconds 600

install-dev: $(DEV_STAMP)

lint: $(DEV_STAMP) ## style, types, and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(DEV_STAMP) ## format the code, and mend what the linter can mend
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

check: lint ## lint, and what Django says of the project
	$(BIN)/python manage.py check --fail-level WARNING
	$(BIN)/python manage.py makemigrations --check --dry-run

docs: $(DEV_STAMP) ## build the documentation site into build/docs
	$(BIN)/python -m sphinx -c docs -W -n --keep-going -q . build/docs
	@echo "the documentation site is in build/docs/index.html"

screenshots: $(DEV_STAMP) ## take the screenshots of the documentation (needs Chromium)
	$(BIN)/python docs/screenshots.py

script-editor: ## build the admin's script editor (needs node and npm)
	cd script-editor && npm install --no-package-lock --no-audit --no-fund --ignore-scripts
	cd script-editor && npm run --silent build

clean: ## remove what was installed and built; the data in var/ stay
	rm -rf $(VENV) .venv-* build dist .cache .hypothesis .import_linter_cache .mypy_cache \
		.pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUN_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(call install,$(RUN_EXTRAS))

$(DEV_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(call install,dev)

$(BIN)/python:
	@$(PYTHON) -c "$$PYTHON_IS_NEW"
	@$(PYTHON) -m venv $(VENV)

define install
	@echo "installing rowkeeper[$(1)] into $(VENV), this once ..."
	@if command -v uv >/dev/null 2>&1; then \
		uv pip install --quiet --python $(BIN)/python -c constraints.txt -e ".[$(1)]"; \
	else \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check \
			-c constraints.txt -e ".[$(1)]"; \
	fi
	@touch $@
endef

define PYTHON_IS_NEW
import sys
if sys.version_info < (3, 11):
    sys.exit(f"python 3.11 or later is needed, this is {sys.version.split()[0]}: "
             "name another with `make PYTHON=python3.13 ...`")
endef
export PYTHON_IS_NEW

# Asked before the demo is loaded: an address is not to be printed that another program answers.
define PORT_IS_FREE
import socket, sys
host, port = sys.argv[1], int(sys.argv[2])
with socket.socket() as probe:
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((host, port))
    except OSError as error:
        sys.exit(f"port {port} cannot be used ({error.strerror}): "
                 f"choose another with `make run PORT={port + 1000}`")
endef
export PORT_IS_FREE
