# make demo    restore example pictures into demo/comparison.png
# make test    lint, then run the whole test suite
# make test-lowest    run the quick part of it with the oldest packages admitted
# make docs    build the documentation into docs/_build/html
# make bench   run the benchmarks quickly, on the bundled photographs
# Everything is installed into .venv, in the versions of constraints.txt.

PYTHON ?= python3
BIN := .venv/bin

LOWEST := .venv-lowest/bin
QUICK := $(addprefix tests/test_,$(addsuffix .py,images pictures base networks net \
  noise metrics datasets persistence persistence_joblib compatibility errors))

.PHONY: demo test test-lowest docs bench
.NOTPARALLEL:

demo: .venv/with-plot
	$(BIN)/colorvae demo --output demo

test: .venv/with-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	SCIPY_ARRAY_API=1 $(BIN)/python -m pytest -n auto --dist loadfile

# Warnings are no errors here: old packages warn of what has changed since.
test-lowest: .venv-lowest/installed
	$(LOWEST)/python -m pytest -W default $(QUICK)

docs: .venv/with-docs
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build/html

bench: .venv/with-bench
	$(BIN)/python benchmarks/import_time.py --repeats 3
	$(BIN)/python benchmarks/fit_overhead.py --quick
	$(BIN)/python benchmarks/damage.py --repeats 1
	$(BIN)/python benchmarks/speed.py --repeats 3
	$(BIN)/python benchmarks/size.py --megapixels 0.1 1
	$(BIN)/python benchmarks/share.py --repeats 1 --megapixels 1
	$(BIN)/python benchmarks/folder.py --files 100 1000 --seconds 5
	$(BIN)/python benchmarks/quality.py --quick
	$(BIN)/python benchmarks/losses.py --quick
	$(BIN)/python benchmarks/features.py --quick
	$(BIN)/python benchmarks/detection.py --quick
	$(BIN)/python benchmarks/family.py --quick

.venv/with-%: .venv/created setup.py pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[$*]"
	touch $@

.venv-lowest/installed: setup.py pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv .venv-lowest
	$(LOWEST)/python -m pip install --quiet -c constraints-lowest.txt -e ".[test]"
	touch $@

.venv/created:
	$(PYTHON) -m venv .venv
	touch $@
