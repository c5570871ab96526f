# LEGO's commands. `make run` and `make test` work on a fresh Debian machine, as root.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
APT := openvswitch-switch tshark mininet
STAMP := $(VENV)/.installed

.PHONY: install run test check fuzz clean

install: $(STAMP)

$(STAMP): setup.cfg setup.py pyproject.toml lego_sdn_ryu.pth constraints.txt build-constraints.txt scripts/install
	PYTHON="$(PYTHON)" VENV="$(VENV)" scripts/install $(APT)
	touch $@

test: install
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHON=$(BIN)/python scripts/test

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHON=$(BIN)/python scripts/test --quick

fuzz: install
	$(BIN)/python -m tests.fuzz --inputs $(or $(INPUTS),1000000) --seed $(or $(SEED),1)

clean:
	rm -rf $(VENV) build *.egg-info

run: install
	$(BIN)/lego run $(CAPTURE) $(ARGS)
