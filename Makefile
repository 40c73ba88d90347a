# Two commands do everything on a fresh machine with Python 3.11 or newer: make demo, make test.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test lint bench clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found; name another with PYTHON=python3"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt "torch==$$(sed -n 's/^torch==//p' constraints.txt)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@echo "compiling numba kernels once" && $(BIN)/python -c "import umap"
	@touch $@

demo: setup
	rm -rf demo
	$(BIN)/auditor demo demo

# The gate gives one answer to one tree: the property tests try the same examples each time
# (Hypothesis's own "ci" profile); plain pytest draws new ones. One thread for each of the two
# workers: networks trained side by side on more threads than cores take three times the CPU time.
test: lint
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --hypothesis-profile=ci
	$(BIN)/auditor bench --suite quick --jobs 2 --out build/bench --check benchmarks/recall.csv

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/auditor bench --suite standard --out build/bench-standard

clean:
	rm -rf $(VENV) demo auditor-report build dist
