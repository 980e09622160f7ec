# Every chore of the project, by name. CI and the pre-commit hooks call these and nothing else.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PACKAGES := web/node_modules

# pip: only errors. A new release of pip is nobody's concern here.
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo demo-seeds test lint docs bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(INSTALLED) ## create .venv with all that development needs, about 6.5 GB

# One pip command resolves everything together; a second one could break what the first chose.
$(INSTALLED): pyproject.toml constraints.txt
	@echo "installing into $(VENV): some minutes, mostly torch"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP_INSTALL) --constraint constraints.txt --editable '.[train,openvino,demo,dev]'
	@touch $@

demo: install ## train on the photographs of solar cells and show the result in runs/demo
	@$(BIN)/python scripts/demo.py

demo-seeds: install ## the same with three seeds, and their mean
	@$(BIN)/python scripts/demo.py --seeds 3

# What runs exported files in a browser. npm writes the folder anew.
$(PACKAGES)/.installed: web/package.json web/package-lock.json
	@npm ci --prefix web --silent --no-audit --no-fund
	@touch $@

test: lint $(PACKAGES)/.installed ## install, lint and all tests
	@$(BIN)/python -m pytest

lint: install ## ruff (rules and format) and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

docs: install ## write the generated pages of docs/
	@$(BIN)/python scripts/docs.py

bench: install ## paired comparisons on the pictures of DATA=folder; OPTIONS='--quick' for ten minutes
	@$(BIN)/python benchmarks/run.py $(DATA) $(OPTIONS)

clean: ## remove caches and build outputs; .venv and runs/ stay
	@rm -rf build dist .mypy_cache .pytest_cache .ruff_cache
	@find . \( -name .git -o -name $(VENV) -o -name runs \) -prune -o -name __pycache__ -type d -print0 | xargs -0r rm -rf
