# Two commands do everything on a fresh clone: make demo, make test. Each makes its own environment.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
export OPENBLAS_NUM_THREADS := 1
export TF_CPP_MIN_LOG_LEVEL := 3

.DEFAULT_GOAL := help
.PHONY: help install demo test test-arm test-web test-jvm test-mcu test-pytorch test-mutants test-exhaustive lint types contracts check bench bench-instructions samples wheel docs man sbom audit release clean

help: ## say what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

$(VENV)/installed: setup.cfg constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; say make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	@echo "installing what the project needs (3 GB, two to six minutes)"
	@$(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev]' >$(VENV)/install.log 2>&1 \
	    || { tail -n 30 $(VENV)/install.log; exit 1; }
	@touch $@

install: $(VENV)/installed ## make the virtual environment

demo: $(VENV)/installed ## convert the reference model, enrol ten products, recognize them
	$(BIN)/python -m tools.demo --output work/demo

test: $(VENV)/installed ## run the tests (slow ones: make test-exhaustive)
	$(BIN)/python -m pytest -n 2 -m "not slow and not arm"

test-arm: $(VENV)/installed ## run the device path on an emulated ARM machine (2 minutes the first time)
	$(BIN)/python -m pytest -m arm tests

work/clients/written: $(VENV)/installed tools/client_networks.py
	$(BIN)/python -m tools.client_networks --output work/clients
	@touch $@

CLIENTS := CLIENT_NETWORKS=$(abspath work/clients) CLIENT_PYTHON=$(abspath $(BIN)/python)

test-web: work/clients/written ## build and test the TypeScript client in Node.js (30 seconds)
	$(CLIENTS) bash firmware_examples/web/test.sh

test-jvm: ## compile the Java gallery reader and compare its bytecode with Android's API level (10 seconds)
	bash firmware_examples/android/test.sh

test-mcu: $(VENV)/installed ## run the microcontroller firmware on an emulated Cortex-M7 and Cortex-M55 (10 seconds)
	$(BIN)/python -m pytest tests/examples/test_microcontroller_example.py

.venv-pytorch/installed: setup.cfg constraints.txt
	$(PYTHON) -m venv .venv-pytorch
	@echo "installing PyTorch beside the converters (5 GB)"
	@grep -vi -e '^immutabledict=' -e '^typing.extensions=' constraints.txt >.venv-pytorch/constraints.txt # litert-torch asks for older ones
	@.venv-pytorch/bin/python -m pip install --constraint .venv-pytorch/constraints.txt --editable '.[convert,gallery,pytorch]' \
	    pytest hypothesis 'pytorch-metric-learning>=2.9' >.venv-pytorch/install.log 2>&1 || { tail -n 30 .venv-pytorch/install.log; exit 1; }
	@touch $@

test-pytorch: .venv-pytorch/installed ## convert PyTorch models and compare losses, in an environment of their own
	.venv-pytorch/bin/python -m pytest -p no:anyio tests/unit/converters/sources/test_from_pytorch.py \
	    tests/unit/edge_train/losses/test_pytorch_metric_learning.py tests/unit/edge_train/test_train_in_pytorch.py

.venv-mutants/installed: setup.cfg constraints.txt
	$(PYTHON) -m venv .venv-mutants
	@.venv-mutants/bin/python -m pip install --constraint constraints.txt --editable '.[gallery,mutants]' \
	    pytest hypothesis >.venv-mutants/install.log 2>&1 || { tail -n 30 .venv-mutants/install.log; exit 1; }
	@touch $@

test-mutants: .venv-mutants/installed ## break ten modules of the gallery in 2,350 ways: do its tests notice? (about 20 minutes)
	rm -rf mutants
	.venv-mutants/bin/mutmut run --max-children 1
	.venv-mutants/bin/mutmut results --all true | .venv-mutants/bin/python -m tools.mutation_score

test-exhaustive: $(VENV)/installed ## run every test
	$(BIN)/python -m pytest -n 2 -m "not arm"

lint: $(VENV)/installed ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed ## static types
	$(BIN)/mypy

contracts: $(VENV)/installed ## which package may import which
	$(BIN)/lint-imports

check: lint types contracts ## everything but the tests

work/demo/products.cpu_int8.tflite: $(VENV)/installed
	$(BIN)/python -m tools.demo --output work/demo

bench: $(VENV)/installed work/demo/products.cpu_int8.tflite ## speed: embedder, gallery, evaluation (4 minutes)
	$(BIN)/python -m tools.benchmark
	$(BIN)/edge-sdk bench --model work/demo/products.cpu_int8.tflite --references 1000
	$(BIN)/python -m tools.bench_gallery
	$(BIN)/python -m tools.bench_evaluation

bench-instructions: $(VENV)/installed work/demo/products.cpu_int8.tflite ## count instructions per stage on emulated ARM; fails if over 2 % more than recorded (1 minute)
	$(BIN)/python -m tools.instructions --embedder work/demo/products.cpu_int8.tflite --detector drawn --baseline tools/instructions.json

samples: $(VENV)/installed ## draw the products, train the reference model (33 minutes of processor time)
	$(BIN)/python -m tools.products --output samples/products

docs: $(VENV)/installed ## build the documentation site in work/site, without a network
	PYTHONPATH=. NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

man: $(VENV)/installed ## write the man pages of all commands to work/man
	$(BIN)/python -m tools.manpages --output work/man

wheel: $(VENV)/installed ## build the wheel
	$(BIN)/python -m build --wheel --outdir work/dist

$(VENV)-supply/installed: setup.cfg
	$(PYTHON) -m venv $(VENV)-supply
	@$(VENV)-supply/bin/python -m pip install --editable '.[supply]' >$(VENV)-supply/install.log 2>&1 \
	    || { tail -n 30 $(VENV)-supply/install.log; exit 1; }
	@touch $@

sbom: $(VENV)-supply/installed ## write the software bills of materials (CycloneDX) to work/sbom
	$(VENV)-supply/bin/python -m tools.sbom --output work/sbom

audit: $(VENV)-supply/installed ## look up known vulnerabilities of every pinned package; needs the public package index
	$(VENV)-supply/bin/python -m tools.audit_packages constraints.txt firmware_examples/raspberry_pi_door_lock/requirements-*.txt

release: $(VENV)/installed sbom ## build what is published, with digests, in work/release (docs/how-to/release.md)
	@test -z "$$(git status --porcelain)" || { echo "commit or remove your changes first: git status"; exit 1; }
	rm -rf work/release && mkdir -p work/release
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m build --wheel --outdir work/release
	cp work/sbom/*.cdx.json work/release/
	cd work/release && sha256sum -- * >SHA256SUMS && cat SHA256SUMS

clean: ## remove what was made, the environment too
	rm -rf work $(VENV) $(VENV)-supply .venv-pytorch .venv-mutants mutants build *.egg-info .pytest_cache .mypy_cache .ruff_cache
