# The commands of this project; `make` alone lists them. ARGS="..." is handed to the command behind a target.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
# What decides how the package is installed: a change here installs it again, nothing else does.
INSTALL_INPUTS := pyproject.toml package.json package-lock.json $(wildcard build_backend/*.py)

.DEFAULT_GOAL := help
.PHONY: help demo test deps lint types bench docs clean
.DELETE_ON_ERROR:

help: ## list these commands
	@echo "SolarFlow: make <command>"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1	\2/p' $(MAKEFILE_LIST) | expand -t 10

demo: $(VENV)/.installed ## start the demonstration: broker, engine, page and twelve simulated homes
	@trap : INT; $(BIN)/solarflow demo $(ARGS) || [ $$? -eq 130 ]

test: deps $(VENV)/.installed-test ## run the tests, installing what they need
	$(BIN)/python -m pytest $(ARGS)

deps: ## install the Debian packages that tests use, where apt and root are there
	@bash .ci/deps

lint: $(VENV)/.installed-dev ## check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev ## check types
	$(BIN)/mypy
	$(BIN)/mypy build_backend

bench: $(VENV)/.installed ## measure the engine and the main job
	@trap : INT; $(BIN)/solarflow bench $(ARGS) || [ $$? -eq 130 ]

docs: $(VENV)/.installed ## write the palette's pages into docs/nodes
	$(BIN)/solarflow nodes --markdown docs/nodes

clean: ## remove what the other commands made (environment, builds, caches); never data
	rm -rf $(VENV) build dist *.egg-info web/static/vendor .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# uv where it is there, else Python's own venv and pip. A half-made environment is removed: it would pass for a whole one.
$(BIN)/python:
	@rm -rf $(VENV); \
	if command -v uv >/dev/null; then \
	  uv venv --quiet --seed --python '>=3.11' $(VENV); \
	else \
	  for python in $(PYTHON) python3.14 python3.13 python3.12 python3.11; do \
	    if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	      echo "making $(VENV) with $$("$$python" --version)"; \
	      "$$python" -m venv $(VENV) && exit 0; \
	      rm -rf $(VENV); \
	      echo "$(VENV) could not be made with $$python. Debian, Ubuntu: 'apt install python3-venv', then try again." >&2; exit 1; \
	    fi; \
	  done; \
	  echo "SolarFlow needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1 || true)." >&2; \
	  echo "Install one (or uv, which brings its own) and try again, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; \
	fi

$(VENV)/.installed: EXTRA :=
$(VENV)/.installed-test: EXTRA := [test]
$(VENV)/.installed-dev: EXTRA := [test,dev]
$(VENV)/.installed $(VENV)/.installed-test $(VENV)/.installed-dev: $(BIN)/python $(INSTALL_INPUTS)
	@echo "installing SolarFlow and what it needs into $(VENV) (the first time this takes a minute)"
	@if command -v uv >/dev/null; then uv pip install --quiet --python $(BIN)/python -e '.$(EXTRA)'; \
	else $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.$(EXTRA)'; fi
	@touch $@
