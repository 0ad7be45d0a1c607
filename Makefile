# Everything below does its own set-up on a fresh machine: `make demo` is the first thing to try.
# The same without make stands in README.md.

BIN := .venv/bin
READY := .venv/.ready

# The newest Python that is new enough and can make a virtual environment.
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& command -v $$python && break; done)

PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
# Pins for Python 3.11 hold on all that are newer, so they are made there.
LOCK := $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --no-annotate --no-header \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links

# Compiled code is kept: who keeps none compiles everything anew in each test process and at each start of the service.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test test-full test-fast lint check format lock snapshots figures clean
.PHONY: lint-format lint-rules lint-types lint-imports lint-dependencies

setup: $(READY)

# Done again when the pins have changed, and not otherwise.
$(READY): requirements.txt requirements-dev.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with venv is needed (Debian: apt install python3-venv)"; exit 1; }
	@echo "Setting up .venv: a minute or two, once"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@# Twice quiet: of pip only errors, and no remark about where it looked.
	@$(PIP) install --quiet --quiet --require-hashes -r requirements-dev.txt
	@$(PIP) install --quiet --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY)
	@$(BIN)/relay demo

test: $(READY)
	$(BIN)/pytest -n 4 --dist worksteal

# With as many made-up examples as Hypothesis would try by itself, instead of a third: for the night, not for a push.
test-full: export HYPOTHESIS_PROFILE = default
test-full: test

# Without the journeys over several processes, and on SQLite alone: for the time between two changes, not for the end.
test-fast: $(READY)
	$(BIN)/pytest -n 4 --dist worksteal -m "not journey and not postgresql"

# All that `check` looks at, but the tests. `make -k lint` goes on after the first that complains.
lint: lint-format lint-rules lint-types lint-imports lint-dependencies

lint-format: $(READY)
	$(BIN)/ruff format --check .
lint-rules: $(READY)
	$(BIN)/ruff check .
lint-types: $(READY)
	$(BIN)/mypy
lint-imports: $(READY)
	$(BIN)/lint-imports
lint-dependencies: $(READY)
	$(BIN)/deptry .

check: lint test

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# New pins, with the hashes of all files on PyPI and of nothing that this machine may have beside it.
lock: export PIP_CONFIG_FILE = /dev/null
lock: export PIP_FIND_LINKS =
lock: export PIP_EXTRA_INDEX_URL =
lock: $(READY)
	$(PIP) install --quiet pip-tools
	$(LOCK) --output-file requirements.txt pyproject.toml
	@# pip-compile knows extras but no dependency groups: it is shown the group as an extra.
	mkdir -p build/lock && touch build/lock/README.md
	sed 's/^\[dependency-groups\]/[project.optional-dependencies]/' pyproject.toml > build/lock/pyproject.toml
	$(LOCK) --extra dev --build-deps-for editable --allow-unsafe --constraint requirements.txt \
		--output-file requirements-dev.txt build/lock/pyproject.toml
	@# It writes a remark about setuptools, whatever it is told.
	sed -i.bak -e '/^$$/d' -e '/^#/d' requirements-dev.txt && rm requirements-dev.txt.bak

# What is drawn from the code, drawn again.
snapshots: $(READY)
	$(BIN)/python -m tests.house.draw_states
	$(BIN)/python -m tests.house.draw_openapi

# How heavy the code is: sizes, imports, complexity, words. The tests of tests/house hold most of it.
figures: $(READY)
	@$(BIN)/python -m tests.house.figures

clean:
	rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
