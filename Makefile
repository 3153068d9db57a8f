# The commands of this project. `make` alone lists them. Everything runs inside .venv, which `install` keeps in step
# with requirements.lock; nothing needs to be activated by hand.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Tests that measure are run by `make bench`, or with PYTEST_ARGS=-mperf: a busy machine would fail them.
PYTEST_ARGS ?= -m "not perf" -n auto --maxprocesses 4

.DEFAULT_GOAL := help
.PHONY: help install run demo test lint check messages screenshots fmt bench lock clean

help: ## list these commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(STAMP): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked dependencies into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

install: $(STAMP) ## create .venv with the locked dependencies (quick when nothing changed)

run: install ## start the gateway on 127.0.0.1:8080 and print how to log in
	@$(BIN)/codexproxy serve

demo: install ## the same against the built-in simulated upstream, with demo accounts
	@$(BIN)/codexproxy serve --demo

test: install ## run the whole test suite (SQLite; also PostgreSQL and Redis when TEST_DATABASE_URL / TEST_REDIS_URL are set)
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: install ## format, lint, types, import contracts, migrations: everything of `check` but the tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/pyright
	@$(BIN)/mypy
	@$(BIN)/python manage.py makemigrations --check --dry-run
	@$(BIN)/python manage.py check

check: lint test ## everything that CI checks on this machine

messages: install ## collect and compile translations (needs gettext)
	@$(BIN)/python manage.py makemessages -l zh_Hans --ignore '.venv/*' --ignore 'tests/*' --no-location --no-wrap
	@msgfmt --check-format -o locale/zh_Hans/LC_MESSAGES/django.mo locale/zh_Hans/LC_MESSAGES/django.po

screenshots: install ## take the pictures in docs/screenshots/ again (needs chromium)
	@$(BIN)/python -m pytest tests/dashboard -m browser --update-screenshots

fmt: install ## format and fix what can be fixed automatically
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: install ## measure the gateway against a direct connection; writes docs/benchmark.md figures
	@$(BIN)/python -m tests.perf.bench --write docs/benchmark.md

lock: ## resolve the dependencies again (needs uv)
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements.lock
	uv pip compile pyproject.toml --constraint requirements.lock --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --no-header -q -o requirements.server.lock

clean: ## remove the virtual environment and caches (never data)
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis build *.egg-info
