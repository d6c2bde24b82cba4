# Everything a newcomer needs: `make demo` shows it, `make test` proves it.
PYTHON ?= python3.11
TAG := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
VENV := $(CURDIR)/.venv-$(TAG)
BIN := $(VENV)/bin

.PHONY: build
build: $(BIN)/maturin
	VIRTUAL_ENV=$(VENV) $(BIN)/maturin develop --quiet $(MATURIN_FLAGS)

$(BIN)/maturin:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade 'maturin>=1.9,<2' pytest
