# What a contributor runs; `make help` lists it.
PYTHON ?= python3
EXTRAS ?= dev,torch
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ROOMS := $(filter-out tests,$(patsubst %/__init__.py,%,$(wildcard */__init__.py)))
TYPING := build/typing/gradwire
LOWEST := build/lowest
# One process more than cores, as many tests wait for others; idle ones take tests over. PARALLEL= runs a single one.
PARALLEL ?= -n $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: experiments experiments-all help install demo test test-slow test-lowest check lint types proto generate docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

install: $(STAMP) ## make .venv with gradwire and the development tools (EXTRAS=dev leaves torch out)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "gradwire needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) -V 2>/dev/null || echo missing): make install PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments: install its venv package (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@echo "installing gradwire with [$(EXTRAS)] into $(VENV): minutes on a slow line"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

demo: install ## train a small network through 100 quantized rounds on this machine
	$(BIN)/gradwire run --task 'mlp(digits, hidden=64)' --codec 'cross_polytope(repeats=100)' \
	  --workers 4 --processes 4 --rounds 100 --lr 0.1

test: install ## the quick tests
	$(BIN)/pytest -m 'not slow' $(PARALLEL)

# Containers and network namespaces are the machine's: their tests run one at a time.
test-slow: install ## the slow tests
	$(BIN)/pytest -m 'slow and not docker and not netns' $(PARALLEL)
	$(BIN)/pytest -m 'slow and (docker or netns)'

# Without torch, whose oldest builds for the CPU alone are not to be had everywhere, and without the texts of help pages,
# which change with typer and click.
test-lowest: $(LOWEST)/.installed ## a part of the quick tests with the lowest versions that pyproject.toml states
	$(LOWEST)/bin/pytest -m 'not slow' -W ignore::DeprecationWarning $(PARALLEL) tests/common/codecs/test_goldens.py \
	  tests/common/privacy tests/common/system tests/common/training tests/common/transport tests/deploy/test_flags.py \
	  tests/server tests/system/test_runs.py tests/system/test_tls.py tests/worker/data

$(LOWEST)/.installed: pyproject.toml .ci/lowest.py
	@rm -rf $(LOWEST)
	$(PYTHON) -m venv $(LOWEST)
	$(PYTHON) .ci/lowest.py > $(LOWEST)/constraints.txt
	@$(LOWEST)/bin/python -m pip install -qq --disable-pip-version-check -c $(LOWEST)/constraints.txt \
	  -e '.[docker,plot,privacy,tensorboard]' hypothesis pytest pytest-xdist
	@touch $@

check: lint types test ## what must pass before a commit: lint, types, quick tests (warnings are errors)

lint: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check

# mypy cannot follow the editable finder; it follows these links, and so sees the names that users import.
types: install
	@rm -rf $(TYPING) && mkdir -p $(TYPING)
	@for part in __init__.py py.typed $(ROOMS); do ln -s ../../../$$part $(TYPING)/$$part; done
	$(BIN)/mypy

proto: install ## regenerate the code in proto/ from proto/*.proto
	@rm -rf build/proto proto/*_pb2*
	@$(MAKE) --no-print-directory generate OUT=build/proto
	cp build/proto/gradwire/proto/* proto/

# The one place that says how the code is generated: tests/proto/test_proto_stale.py runs it into a folder of its own.
# The mapped path makes the generated imports say `from gradwire.proto import ...`.
generate: GENERATOR = $(BIN)/python
generate:
	@mkdir -p $(OUT)
	@PATH="$$(dirname $(GENERATOR)):$$PATH" $(GENERATOR) -m grpc_tools.protoc -Igradwire/proto=proto --python_out=$(OUT) \
	  --pyi_out=$(OUT) proto/*.proto

RESULTS := bench/results/papers

experiments: install ## measure the papers' figures and tables again: half an hour on two cores (data: gradwire data fetch)
	$(BIN)/gradwire paper all --out $(RESULTS)

experiments-all: install ## the same at the papers' scale: many hours; goes on where it was stopped
	$(BIN)/gradwire paper all --full --out $(RESULTS)/full

docs: install ## rewrite the generated pages docs/codecs.md and docs/commands.md
	$(BIN)/gradwire codecs --markdown > docs/codecs.md
	$(BIN)/python -m gradwire.deploy.reference > docs/commands.md

clean: ## remove everything that was built, .venv too
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find $(ROOMS) tests -name __pycache__ -type d -prune -exec rm -rf {} +
