# Two commands are all that is needed: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= auto

.PHONY: help setup demo test lint bench clean

help:
	@echo "make demo    build the example bundle and ask it a question"
	@echo "make test    lint, types and all tests"
	@echo "make bench   measure against llama-server, in one run"
	@echo "make clean   remove dist/ and the environment (the cache of runtime packs stays)"

setup: $(VENV)/.ready

$(VENV)/.ready: requirements/dev.txt pyproject.toml
	@$(PYTHON) bundler/build/preflight.py
	@echo "Setting up $(VENV) (locked dependencies) ..."
	@$(PYTHON) -m venv $(VENV)
	@CMAKE_ARGS=-DLLAMA_BUILD=OFF $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

demo: setup
	@mkdir -p dist
	@$(BIN)/bundle runtime build
	@$(BIN)/bundle build examples/guide -o dist/guide
	@echo
	@echo "> What is a bundle?"
	@dist/guide run "What is a bundle?" </dev/null
	@echo
	@echo "Chat with it:   dist/guide          (web page and API on http://127.0.0.1:11434, Ctrl-C ends it)"
	@echo "Ask it:         dist/guide run \"How do I verify a bundle?\""

lint: setup
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy --no-error-summary

test: setup lint
	@$(BIN)/bundle runtime build
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

bench: setup
	@$(BIN)/bundle runtime build
	@$(BIN)/python -m tests.bench

clean:
	rm -rf dist $(VENV)
