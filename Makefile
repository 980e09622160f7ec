# Every chore of the project, by name. CI and the pre-commit hooks call these and nothing else.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# What runs exported files in a browser.
BROWSER_INSTALLED := web/node_modules/.installed
# MediaPipe brings a build of OpenCV that would replace that of others: tests ask it from outside.
MEDIAPIPE := .venv-mediapipe
MEDIAPIPE_INSTALLED := $(MEDIAPIPE)/.installed

# pip: only errors. A new release of pip is nobody's concern here.
PIP_INSTALL := python -m pip install -qq --disable-pip-version-check

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo demo-seeds test lint docs bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(INSTALLED) $(MEDIAPIPE_INSTALLED) $(BROWSER_INSTALLED) ## all that development needs, about 8 GB

# One pip command resolves everything together; a second one could break what the first chose.
$(INSTALLED): pyproject.toml constraints.txt
	@echo "installing into $(VENV): some minutes, mostly torch"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/$(PIP_INSTALL) --constraint constraints.txt --editable '.[train,openvino,litert,demo,dev]'
	@touch $@

$(MEDIAPIPE_INSTALLED): constraints-mediapipe.txt
	@echo "installing into $(MEDIAPIPE)"
	@$(PYTHON) -m venv $(MEDIAPIPE)
	@$(MEDIAPIPE)/bin/$(PIP_INSTALL) --requirement constraints-mediapipe.txt
	@touch $@

$(BROWSER_INSTALLED): web/package.json web/package-lock.json
	@npm ci --prefix web --silent --no-audit --no-fund
	@touch $@

demo: $(INSTALLED) ## train on the photographs of solar cells and show the result in runs/demo
	@$(BIN)/python scripts/demo.py

demo-seeds: $(INSTALLED) ## the same with three seeds, and their mean
	@$(BIN)/python scripts/demo.py --seeds 3

test: lint install ## install, lint and all tests
	@$(BIN)/python -m pytest

lint: $(INSTALLED) ## ruff (rules and format) and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

docs: $(INSTALLED) ## write the generated pages of docs/
	@$(BIN)/python scripts/docs.py

bench: $(INSTALLED) ## paired comparisons on the pictures of DATA=folder; OPTIONS='--quick' for ten minutes
	@$(BIN)/python benchmarks/run.py $(DATA) $(OPTIONS)

clean: ## remove caches and build outputs; environments and runs/ stay
	@rm -rf build dist .mypy_cache .pytest_cache .ruff_cache
	@find . \( -name .git -o -name '.venv*' -o -name runs \) -prune -o -name __pycache__ -type d -print0 | xargs -0r rm -rf
