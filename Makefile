# Finds a Python >= 3.12 (PATH, then pyenv), makes .venv once, and runs everything in it.
PYTHON ?= $(shell for p in python3.14 python3.13 python3.12 python3 \
	$$(ls -d "$$HOME"/.pyenv/versions/3.1[2-9]*/bin/python3 2>/dev/null | sort -Vr); do \
	command -v "$$p" >/dev/null 2>&1 && "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && command -v "$$p" && break; done)
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: all demo run test lint bench profile fuzz chaos format clean
all: lint test

$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "runcap needs Python >= 3.12: put one on PATH, or name it: make PYTHON=/path/to/python3.13" >&2; exit 1; }
	@echo "Setting up .venv with $(PYTHON)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test,lint]'
	@touch $@

demo: $(STAMP)  ## fake vendors, the real proxy, the real SDKs: an agent runs into its cap
	@$(BIN)/python scripts/demo.py

run: $(STAMP)  ## runcap up, with runcap.toml (written with comments on first use)
	@$(BIN)/runcap up

# A run starts hundreds of processes: where bytecode is not kept, each would compile all of it anew.
test: $(STAMP)  ## everything, in four processes; or ARGS="tests/x.py -k y", in one
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest $(ARGS)

lint: $(STAMP)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: $(STAMP)
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

chaos: $(STAMP)  ## parts die and stand still at random under load, for SECONDS=600; then the books are checked
	@$(BIN)/python scripts/chaos.py --seconds $(or $(SECONDS),600) $(ARGS)

bench: $(STAMP)  ## against stock mitmdump and others, side by side, into README.md; QUICK=1 for a short one that is not
	@$(BIN)/python -m scripts.bench $(if $(QUICK),--quick) $(ARGS)

profile: $(STAMP)  ## where a call's time goes in worker and auditor: tables, speedscope files, flamegraphs
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'py-spy>=0.4,<1'
	@$(BIN)/python -m scripts.profiler $(if $(SECONDS),--seconds $(SECONDS)) $(ARGS)

fuzz: $(STAMP)  ## all that reads an agent's bytes; SECONDS=600 for longer than a minute
	@$(BIN)/python -c 'import atheris' 2>/dev/null \
		|| $(BIN)/python -m pip install --quiet --disable-pip-version-check 'atheris>=3,<4' 2>/dev/null \
		|| echo "atheris cannot be installed here: hypothesis takes its place"
	@$(BIN)/python -m scripts.fuzz --seconds $(or $(SECONDS),60) $(ARGS)

clean:
	rm -rf .venv .fuzz .pytest_cache .mypy_cache .ruff_cache
