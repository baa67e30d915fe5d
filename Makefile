# The two commands of the README are `make demo` and `make test`; both make .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Bytecode is written where a module is first imported: to compile all of torch's and AWS's takes a minute or two. It must
# be kept, whatever the environment says, or each of the tests' processes takes half a minute to read torch.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt
# What a local run, the tests and the linters need; every version is pinned in constraints.txt.
EXTRAS := offline,serve,lora,tracking,sweep,documents,mining,flag,bedrock,openai,docker,sagemaker,langchain,llama-index
TOOLS := check-jsonschema hatchling httpx hypothesis ir-measures jsonschema moto[server] pytest pytest-timeout pytest-xdist codespell mypy ruff

# Where the demo runs, and what its image starts from: make demo ON=docker BASE_IMAGE=debian:bookworm
ON ?=
BASE_IMAGE ?=
export EMBEDRUN_BASE_IMAGE ?= $(BASE_IMAGE)

# How many processes run the tests, each of which takes up to 2 GB (0: this one alone), and more words for pytest.
WORKERS ?= logical
PYTEST ?=

.PHONY: demo test test-docker image lint fix bench clean

demo: $(VENV)/.installed
	$(BIN)/embedrun recipes/quickstart.yaml $(if $(ON),--on $(ON))

image: $(VENV)/.installed
	$(BIN)/embedrun image build

test: $(VENV)/.tools
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --maxprocesses 4 --dist worksteal $(PYTEST)

# On the engine that answers here, else one of its own; the first time it builds an image, which takes minutes. The
# tests have a process of their own: a library that crashes it as it ends takes no result along.
test-docker: $(VENV)/.tools
	$(BIN)/python -m pytest -m docker --numprocesses 1 $(PYTEST)

lint: $(VENV)/.tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

fix: $(VENV)/.tools
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.tools
	$(BIN)/python benchmarks/serving.py --requests 200 --rounds 1
	$(BIN)/python benchmarks/retrieval_evaluation.py --documents 20000 --queries 200
	$(BIN)/python benchmarks/matryoshka.py --rows 200 --repeat 1
	$(BIN)/python benchmarks/mining.py --passages 20000 --queries 500 --rounds 1

clean:
	rm -rf $(VENV) build dist runs .mypy_cache .ruff_cache .pytest_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable '.[$(EXTRAS)]'
	$(BIN)/python -m compileall -q core plugins
	touch $@

$(VENV)/.tools: $(VENV)/.installed
	$(PIP) $(TOOLS)
	touch $@
