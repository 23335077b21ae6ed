PYTHON ?= python
BIN := .venv/bin
DATA := datasets/docs-minilm-384

.PHONY: setup fix check test bench

setup:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -e '.[dev]'

fix:
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

check:
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

test:
	$(BIN)/python -m pytest

bench:
	$(BIN)/tune --recall 0.95 --baseline hnswlib --queries $(DATA)/queries.npy --out reports/docs-minilm-384 $(DATA)/base.npy
