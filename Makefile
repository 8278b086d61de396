# The front door. `make help` lists what there is.

PYTHON ?= python3
LOCK   ?= constraints.txt
TORCH  ?= cpu
VENV   := .venv
BIN    := $(VENV)/bin
PINS   := $(VENV)/constraints.txt
# compiled modules are kept, as tests start hundreds of processes
unexport PYTHONDONTWRITEBYTECODE
# one more than there are processors, as a test often waits for a process, a kernel or a socket
TESTERS := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
NBVAL  := --nbval --nbval-current-env --nbval-sanitize-with tests/sanitize.cfg --nbval-cell-timeout 120

.DEFAULT_GOAL := help

.PHONY: help demo test soak e2e bench lint lab lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/test ## train on demo data, draw a groove, gather speech, keep the notebooks
	@$(BIN)/workbench run params/demo.yaml
	@echo "Open the notebooks above with: make lab"

test: $(VENV)/test ## run the tests and check the notebooks
	$(BIN)/python -m pytest -m "not soak and not e2e" $(NBVAL) -n $(TESTERS) notebooks tests

soak: $(VENV)/test ## run the long trials: kills, mutations, seeds
	$(BIN)/python -m pytest -m soak -n 2

e2e: $(VENV)/test ## click through the notebooks in a headless Chromium
	$(BIN)/python -m pytest -m e2e tests/e2e

bench: $(VENV)/bench ## measure side by side, one table of ratios in outputs/bench
	$(BIN)/python tests/bench/table.py

lint: $(VENV)/dev ## check style, types, imports, dead code and notebooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture
	$(BIN)/workbench nb lint notebooks

lab: $(VENV)/test ## open JupyterLab
	$(BIN)/jupyter lab --ip 127.0.0.1 notebooks

lock: $(VENV)/dev ## freeze what is installed into constraints.txt
	@$(BIN)/pip install --quiet -e '.[dev,bench,cluster]' -c $(PINS)
	@{ echo "# Made by make lock, $$($(BIN)/python --version), $$(uname -sm). Other platforms: make LOCK="; \
	  { $(BIN)/pip freeze --exclude-editable | sed 's/+cpu$$//'; grep -h '^torch==' $(PINS); } | sort -fu; \
	} > constraints.new && mv constraints.new constraints.txt

clean: ## remove the virtual environment and all outputs
	rm -rf $(VENV) outputs/*

$(VENV)/python: # the interpreter, new enough
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is $$($(PYTHON) --version); the workbench needs Python 3.11 or newer: make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(PINS): $(VENV)/python $(LOCK)
	@cat /dev/null $(LOCK) | grep $(if $(filter gpu,$(TORCH)),-v '^torch==',.) > $@ || true

$(VENV)/test $(VENV)/dev $(VENV)/bench: $(VENV)/%: $(PINS) pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[$*]' -c $(PINS)
	@touch $@
