# make demo    restore example pictures into demo/comparison.png
# make test    lint, then run the whole test suite
# make docs    build the documentation into docs/_build/html
# make bench   run the benchmarks quickly, on the bundled photographs
# Everything is installed into .venv, in the versions of constraints.txt.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test docs bench
.NOTPARALLEL:

demo: .venv/with-plot
	$(BIN)/colorvae demo --output demo

test: .venv/with-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	SCIPY_ARRAY_API=1 $(BIN)/python -m pytest

docs: .venv/with-docs
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build/html

bench: .venv/with-bench
	$(BIN)/python benchmarks/import_time.py --repeats 3
	$(BIN)/python benchmarks/fit_overhead.py --quick
	$(BIN)/python benchmarks/damage.py --repeats 1
	$(BIN)/python benchmarks/speed.py --repeats 3
	$(BIN)/python benchmarks/quality.py --quick
	$(BIN)/python benchmarks/family.py --quick

.venv/with-%: .venv/created setup.py pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[$*]"
	touch $@

.venv/created:
	$(PYTHON) -m venv .venv
	touch $@
