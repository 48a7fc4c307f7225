# One command for each need. `make demo` and `make test` set up what they need by themselves.

VENV  := .venv
BIN   := $(VENV)/bin
READY := $(VENV)/.ready
HOME_DIR ?= .factory
# Where PyTorch's CPU build is looked for besides the default index, e.g. `make demo TORCH_INDEX=<address of PyTorch's CPU index>`.
TORCH_INDEX ?=
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)
# Triton runs models on the system's libpython, so the system's own Python makes its environment.
TRITON := .triton-venv
TRITON_PYTHON ?= /usr/bin/python3
# KServe's client brings Kubernetes' client along, so it has an environment of its own.
KSERVE := .kserve-venv
# SAP's public client of OData V2 brings a package `tests` along, which would be taken for ours: it lies in a folder of its own.
PYODATA := .pyodata
ONNXRUNTIME := $(shell sed -n 's/^onnxruntime==//p' constraints.txt)

.DEFAULT_GOAL := help
.PHONY: help setup demo connected test test-slow check format docs triton kserve pyodata ui serve bench lock clean

help:          ## what there is
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/: .*## /\t/' | expand -t 14

setup: $(READY) ## a virtual environment with everything, pinned by constraints.txt

demo: $(READY) ## run the departure_delay line on its 16 sites
	@$(BIN)/factory demo departure_delay --site UA --home $(HOME_DIR)

# Its own home each time: what an earlier demonstration left is removed.
connected: $(READY) ## the line machine_failures between PostgreSQL, files and an ERP, all on this machine: decisions in, outcomes back
	@rm -rf $(HOME_DIR)/connected
	@$(BIN)/python -m demos.connected --home $(HOME_DIR)/connected

# A file's tests stay together, for they share what took seconds to make; tests/conftest.py says which come first.
test: $(READY) ## the fast tests, on up to four cores
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-slow: $(READY) ## the tests that take minutes
	$(BIN)/python -m pytest -m "slow and not gpu"

triton: $(READY) $(TRITON)/.ready ## a real Triton serves the gateway's repository: the same answers
	FACTORY_TRITON_PYTHON=$(CURDIR)/$(TRITON)/bin/python $(BIN)/python -m pytest -m slow tests/gateway/test_real_triton.py

kserve: $(KSERVE)/.ready ## an environment with KServe's client, which `make test` then drives

pyodata: $(PYODATA)/.ready ## SAP's public client of OData V2, which `make test` then checks our service by

check: $(READY) ## lint, format, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dg check yaml

format: $(READY) ## rewrite files in the house's form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY) ## the documentation as a site, in build/docs; a warning is an error
	$(BIN)/python docs/generate.py
	$(BIN)/python -m sphinx -b html -W --keep-going -q docs build/docs
	@echo "build/docs/index.html"

ui: $(READY) ## the orchestrator's UI
	$(BIN)/factory ui --home $(HOME_DIR)

serve: $(READY) ## the gateway
	$(BIN)/factory serve --home $(HOME_DIR)

# The others want something first: data (turbofan), a home (quality), wrk (serving/compare).
BENCHES := data_speed definitions_load sequence_speed drift rollback new_line sensors prediction_log metrics whole_line

bench: $(READY) ## the benchmarks that need nothing but this, each against its named peer
	for bench in $(BENCHES); do $(BIN)/python benchmarks/$$bench.py || exit 1; done

lock: $(READY) ## write constraints.txt anew from what is installed
	$(BIN)/pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt

clean: ## remove the environments; what the factory made stays
	rm -rf $(VENV) $(TRITON) $(KSERVE) $(PYODATA)

# The first Python that fits; then PyTorch's CPU build where there is one and no GPU, for the default one brings CUDA along.
$(READY): pyproject.toml constraints.txt
	@python=$$(for p in python3.11 python3.12 python3; do \
	    $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null && echo $$p && break; done); \
	  test -n "$$python" || { echo "Python 3.11 or 3.12 is needed and was not found"; exit 1; }; \
	  echo "setting up $(VENV) with $$($$python --version); this takes a few minutes the first time"; \
	  $$python -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@if command -v nvidia-smi >/dev/null; then build=; else build=+cpu; fi; \
	  $(BIN)/pip install --quiet -c constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) "torch==$(TORCH)$$build" 2>/dev/null \
	  || $(BIN)/pip install --quiet -c constraints.txt "torch==$(TORCH)"
	@$(BIN)/pip install --quiet -c constraints.txt --group dev --group docs -e ".[lines]"
	@touch $@

# Apart from the rest, for nvidia-pytriton wants numpy<2; the same ONNX Runtime, so that answers are equal to the bit.
$(TRITON)/.ready: constraints.txt
	@$(TRITON_PYTHON) -m venv $(TRITON)
	@$(TRITON)/bin/pip install --quiet "nvidia-pytriton==0.7.0" "numpy<2" "onnxruntime==$(ONNXRUNTIME)"
	@touch $@

$(KSERVE)/.ready: $(READY)
	@$(BIN)/python -m venv $(KSERVE)
	@$(KSERVE)/bin/pip install --quiet "kserve==0.21.0"
	@touch $@

$(PYODATA)/.ready: $(READY)
	@$(BIN)/pip install --quiet --no-deps --target $(PYODATA) "pyodata==1.12.1"
	@touch $@
