# Two commands set everything up: `make run` and `make test`. Both work on a fresh machine with Python 3.11 or later.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PLAYERS := tests/browser/node_modules/.package-lock.json

.PHONY: run test lint types layers unit slow bench docs clean

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "evotools needs Python 3.11 or later; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -e .
	touch $@

$(VENV)/.test-installed: $(VENV)/.installed pyproject.toml
	$(BIN)/python -m pip install --quiet -e '.[test]'
	touch $@

# The server with a built-in test stream; it prints what to open and where to publish.
run: $(VENV)/.installed
	$(BIN)/evotools serve --stream test=test:

# The players that tests/browser opens in Chromium: dash.js, Shaka Player, hls.js.
$(PLAYERS): tests/browser/package-lock.json
	@if command -v npm >/dev/null; then \
	  npm ci --prefix tests/browser --ignore-scripts --no-audit --no-fund --loglevel=error && touch $@; \
	else \
	  echo "tests: npm is missing, so tests in tests/browser will fail; as root: apt-get install nodejs npm" >&2; \
	fi

# Lint, types, import layers and the tests, with the foreign programs that the tests talk to.
test: $(VENV)/.test-installed
	tests/install-peers.sh
	$(MAKE) --no-print-directory lint types layers unit

lint: $(VENV)/.test-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test-installed
	$(BIN)/mypy -p evotools

layers: $(VENV)/.test-installed
	$(BIN)/lint-imports --no-cache

unit: $(VENV)/.test-installed $(PLAYERS)
	$(BIN)/python -m pytest

# Long fuzzing, soak and load runs.
slow: $(VENV)/.test-installed $(PLAYERS)
	$(BIN)/python -m pytest -m slow

# The ratios that the README quotes.
bench: $(VENV)/.test-installed
	tests/install-peers.sh
	$(BIN)/python -m bench

# man/ and completions/, from the commands' option declarations. A test fails when they are stale.
docs: $(VENV)/.installed
	$(BIN)/python -m evotools.commands.docs

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis bench/bin tests/browser/node_modules
