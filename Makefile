# The whole job on a fresh machine: `make demo`. All checks on a fresh machine: `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test check prove bench clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: install
	$(BIN)/mlx-rl demo

test: check
	$(BIN)/python -m pytest -n 2 --dist loadfile -rs

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

prove: install
	$(BIN)/python scripts/prove.py --all

bench: install
	$(BIN)/python scripts/bench_features.py
	$(BIN)/python scripts/bench_oracle.py
	$(BIN)/python scripts/bench_inference.py
	$(BIN)/python scripts/bench_train.py
	$(BIN)/python scripts/bench_capture.py
	$(BIN)/python scripts/bench_intake.py
	$(BIN)/python scripts/bench_decode.py

clean:
	rm -rf $(VENV) build dist demo *.egg-info
