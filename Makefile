PYTHON ?= python
BIN := .venv/bin
DATA := datasets/docs-minilm-384

.PHONY: setup fix check test docs report bench bench-gate bench-quick

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
	$(BIN)/python -m pytest -n 2 --dist worksteal

docs:
	$(BIN)/python docs/engine_pages.py
	$(BIN)/python -m sphinx -W --keep-going docs docs/_build

bench-quick:
	$(BIN)/python -m benchmarks.sweep.quick

bench:
	$(BIN)/python -m benchmarks.sweep $(DATA)/base.npy $(DATA)/queries.npy --name docs-minilm-384 --out reports/benchmarks/docs-minilm-384

bench-gate:
	$(BIN)/python -m benchmarks.gate $(DATA)/base.npy --rows 12000 --population 5000 --out reports/gate

report:
	$(BIN)/tune --recall 0.95 --force --baseline hnswlib --queries $(DATA)/queries.npy --out reports/docs-minilm-384 $(DATA)/base.npy
