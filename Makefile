# On a fresh machine with Python 3.11 or newer, make and a C compiler: `make demo` and `make test` do everything else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS = 1
export OPENBLAS_NUM_THREADS = 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test lint system peers lock docs bench clean

demo: $(VENV)/.core
	$(BIN)/proveout demo

test: $(VENV)/.dev system lint
	$(BIN)/python -m pytest -n auto --dist loadgroup

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff check --preview --select PLW1514 src
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-cache

# System packages that tests talk to for real: PostgreSQL, Redis and Prometheus servers, and a headless browser.
system:
	sh tools/system-packages.sh

# Programs of others that some tests and benchmarks run against, each in its own place: about 2 GB, and no lock.
peers:
	$(PYTHON) -m venv .peers/clients && .peers/clients/bin/python -m pip install -q langchain-openai 'litellm[proxy]' kubernetes-validate
	$(PYTHON) -m venv .peers/phoenix && .peers/phoenix/bin/python -m pip install -q arize-phoenix
	if command -v npm >/dev/null; then mkdir -p .peers/node && npm install --silent --no-audit --no-fund --prefix .peers/node openai @portkey-ai/gateway; fi

docs: $(VENV)/.dev
	$(BIN)/python -m tools.render_reference
	$(BIN)/python -m tools.render_schema

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

# Hashed locks of every supported Python, without any index address.
lock:
	sh tools/lock.sh

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("Proveout needs Python 3.11 or newer; run make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: requirements/core.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q --require-hashes -r requirements/core.txt -r requirements/build.txt
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -q src
	touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.core
	$(BIN)/python -m pip install -q --require-hashes -r requirements/dev.txt
	touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis
