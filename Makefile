# Each target makes .venv, installs what it needs, and is quick the second time.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
NATIVE := pyproject.toml constraints.txt CMakeLists.txt $(shell find native -type f)
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test check bench clean

demo: $(VENV)/.demo
	$(BIN)/vfl demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest -q -n logical --maxprocesses 4 --dist loadgroup --no-loadscope-reorder

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev
	$(BIN)/vfl-bench crypto
	$(BIN)/vfl-bench end-to-end

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("vfl needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(NATIVE) | $(BIN)/python
	@echo "installing vfl into $(VENV) (a minute or two, once)"
	$(PIP) -e '.[ray,report]'
	@touch $@

$(VENV)/.dev: $(NATIVE) | $(BIN)/python
	@echo "installing vfl with its test tools into $(VENV) (a few minutes, once)"
	$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
