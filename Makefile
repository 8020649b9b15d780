# Two commands on a fresh machine: `make quickstart` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
RUN    ?= runs/quickstart
BOARD  ?= leaderboard.csv
SEED   ?= 0
EXTRAS ?= dev
JOBS   ?= auto
PYTEST  = $(BIN)/python -m pytest --numprocesses $(JOBS) --maxprocesses 8 --dist loadfile --no-loadscope-reorder

.PHONY: help quickstart test test-slow lint types site install clean

help:
	@echo "make quickstart   install, train the built-in model on generated AIME-style problems, score it before and after (RUN, BOARD, SEED)"
	@echo "make test         install and run the quick tests, in parallel (JOBS=1 for one after the other)"
	@echo "make test-slow    run the rest of the tests"
	@echo "make lint types   ruff and mypy"
	@echo "make site         build the documentation site into build/site, any warning is an error (EXTRAS=dev,docs)"

$(VENV)/installed-$(EXTRAS): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $@

install: $(VENV)/installed-$(EXTRAS)

quickstart: install
	$(BIN)/kgym train --env aime --algo mirror --run $(RUN) --seed $(SEED)
	$(BIN)/kgym eval --model nano --bench aime-style --run $(RUN)/eval/before --board $(BOARD)
	$(BIN)/kgym eval --model $(RUN) --bench aime-style --run $(RUN)/eval/after --board $(BOARD)
	$(BIN)/kgym leaderboard compare $(RUN)/eval/before $(RUN)/eval/after
	$(BIN)/kgym leaderboard show --board $(BOARD)
	$(BIN)/kgym runs show $(RUN) --plot $(RUN)/curves.png

test: install
	$(PYTEST) -m "not slow and not gpu"

test-slow: install
	$(PYTEST) -m "slow and not gpu"

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: install
	$(BIN)/mypy

site: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
