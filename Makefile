# Everything runs in .venv, which is made on first use and again when pyproject.toml changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help venv demo test gpu lint

help:
	@echo "make demo   prepare the embedded dataset, measure three models and the floors, compare them"
	@echo "make test   run all tests"
	@echo "make gpu    what only a GPU shows, in ten minutes, as build/gpu.md and build/gpu.json"
	@echo "make lint   ruff and mypy"
	@echo "make venv   only make the environment"

venv: $(READY)

$(READY): pyproject.toml
	@echo "installing into $(VENV), which takes a few minutes the first time"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,demo]'
	touch $@

demo: $(READY)
	$(BIN)/bench prepare shapes
	$(BIN)/bench run
	$(BIN)/bench run --datasets shapes --models diffews-tiny --folds 0 --shots 1
	$(BIN)/bench leaderboard --output build/board
	$(BIN)/bench compare --dataset shapes --protocol fixed-v1 --shots 1 diffews-tiny dense-nn prototype

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

# Without a GPU it says so; `--device cpu` in GPU_FLAGS runs all of it at tiny size.
gpu: $(READY)
	$(BIN)/python -m tests.gpu.battery $(GPU_FLAGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
