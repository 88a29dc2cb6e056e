# `make` alone lists the targets; each says behind ## what it is for.
.DEFAULT_GOAL := help
.PHONY: setup demo test test-all lab docs check bench lock release audit-deps help

# Override on the command line: make test WORKERS=4. PYTHON is what .venv is made with, when it is.
PYTHON ?= python3
WORKERS ?= 3
PYTEST_ARGS ?=
LOCK_ARGS ?=

bin := .venv/bin
# Where this is set, every process would compile all that it imports: a second each.
unexport PYTHONDONTWRITEBYTECODE

setup: ## Install what is missing, say what; at once done when nothing is
	@PYTHON='$(PYTHON)' sh scripts/setup.sh

demo: setup ## Promote a sample dataset on the embedded data lake, from ticket to evidence
	@$(bin)/dedl-workbook demo

test: check ## Run the linters and all tests but the slow ones
	@$(bin)/python -m pytest -n $(WORKERS) -m 'not slow' $(PYTEST_ARGS)

test-all: check ## Run the linters and all tests
	@$(bin)/python -m pytest -n $(WORKERS) $(PYTEST_ARGS)

lab: setup ## Open JupyterLab on the notebooks
	@$(bin)/dedl-workbook lab

docs: setup ## Build the documentation into docs/_build
	@$(bin)/sphinx-build --quiet --fail-on-warning --keep-going docs docs/_build
	@echo 'docs: docs/_build/index.html'

check: setup ## Run the linters: ruff, mypy, import-linter
	@$(bin)/ruff check
	@$(bin)/ruff format --check
	@$(bin)/mypy
	@$(bin)/lint-imports

bench: setup ## Run the benchmarks, one after the other
	@for benchmark in benchmarks/*.py; do \
		echo "== $$benchmark" && $(bin)/python "$$benchmark" || exit 1; \
	done

lock: setup ## Lock again what pyproject.toml asks for; newer versions with LOCK_ARGS=--upgrade
	@sh scripts/lock.sh $(LOCK_ARGS)

release: setup ## Build a release into dist/ and try it in fresh environments
	@. scripts/registries.sh && registries_from_pip $(bin)/python && $(bin)/python scripts/release.py

audit-deps: setup ## Ask for known weaknesses of what the locks name
	@. scripts/registries.sh && registries_from_pip $(bin)/python && $(bin)/python scripts/audit_deps.py

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
