# Every target does its own set-up: a virtual environment in .venv, made once, and again when its recipe changes.

PYTHON ?= python3
VENV   ?= .venv
OUT    ?= out
PORT   ?= 8501

# A process per core, up to four of them: each holds a torch of its own.
TEST_WORKERS ?= --numprocesses auto --maxprocesses 4 --dist worksteal

BIN   := $(VENV)/bin
BENCH := $(VENV)-bench
PIP   := pip install --quiet --disable-pip-version-check -c constraints.txt

# By path: setuptools' finder comes after a folder of the same name, which a checkout is for a script beside it.
EDITABLE := --config-settings editable_mode=compat -e

# A Python may come without ensurepip (Debian's does); then the pip that is there puts one into the environment.
new_environment = $(PYTHON) -m venv --clear $(1) || \
    { $(PYTHON) -m venv --clear --without-pip $(1) && $(PYTHON) -m pip --python $(1)/bin/python install pip; }

.PHONY: help app test demo lint bench clean

help:
	@echo "make app    set up, then start the app on a worked example (PORT=$(PORT))"
	@echo "make test   set up, then run every test"
	@echo "make demo   trace, check and explain the lecture examples: pictures, slides, derivations in $(OUT)/"
	@echo "make lint   ruff and mypy"
	@echo "make bench  time and memory, with other tools beside us (own environment $(BENCH))"
	@echo "make clean  remove all that the other targets made"

app: $(VENV)/ready
	$(BIN)/gradviz app --port $(PORT)

test: $(VENV)/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(TEST_WORKERS) $(TEST_ARGS)  # small tensors run faster on one thread

demo: $(VENV)/ready
	$(BIN)/python -m examples $(OUT)

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(BENCH)/ready
	$(BENCH)/bin/python -m benchmarks $(BENCH_ARGS)

$(VENV)/ready: Makefile pyproject.toml constraints.txt
	$(call new_environment,$(VENV))
	$(BIN)/python -m $(PIP) $(EDITABLE) '.[app,slides,dev]'
	touch $@

$(BENCH)/ready: Makefile pyproject.toml constraints.txt benchmarks/requirements.txt
	$(call new_environment,$(BENCH))
	$(BENCH)/bin/python -m $(PIP) $(EDITABLE) . -r benchmarks/requirements.txt
	touch $@

clean:
	rm -rf $(VENV) $(BENCH) $(OUT) build .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
