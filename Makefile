# Everything is installed by these targets; nothing needs to be there but Python 3.11 or later, make and, for the
# parts from Debian's archive that only the tests use, apt-get.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
# The system's own Python first: distributions build it with profiles, which makes it faster than most others.
PYTHON ?= $(shell for p in /usr/bin/python3 python3.12 python3.13 python3.11 python3; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
	&& { echo $$p; break; }; done)
# Tests wait as much as they compute. Each process has a Kafka and a PostgreSQL of its own, and takes whole files, in
# their order: the long ones come first.
WORKERS ?= 3
TOGETHER = --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
DEBIAN_PACKAGES := $(shell cat tests/debian-packages.txt 2>/dev/null)
VERSION = $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' pyproject.toml)
# When what is built was committed, so that whoever builds it anew gets the same bytes.
RELEASED = $(shell git log -1 --format=%ct 2>/dev/null || echo 1580601600)
# CycloneDX: the locked dependencies with their checksums; the same each time it is made.
SBOM = SOURCE_DATE_EPOCH=$(RELEASED) $(BIN)/python -W ignore::UserWarning -m cyclonedx_py requirements --output-reproducible \
	--pyproject pyproject.toml --spec-version 1.6 --output-file dist/journal_postfix-$(VERSION).cdx.json requirements.lock
APT := $(if $(filter 0,$(shell id -u)),,sudo )apt-get

.PHONY: demo test faults bench lint format lock schemas audit sbom release clean help

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.runtime ## run the main job on embedded parts and show what it found
	$(BIN)/journal-postfix demo

test: $(VENV)/.development ## run all tests, with real Postfix, journald, Kafka and PostgreSQL
	$(BIN)/python -m pytest $(TOGETHER)

faults: $(VENV)/.development ## inject every fault, 20 times and more; FAST=1 for the short form, FAULT_SEED=N repeats a run
	FAULTS=$(if $(FAST),fast,long) $(BIN)/python -m pytest $(TOGETHER) tests/faults

bench: $(VENV)/.development ## measure every stage, half an hour on a quiet machine; bench/*.py --help say what each can do
	set -e; for bench in parse producer stream sink replay privacy pipeline latency recovery scaling queries; do \
		echo "== $$bench"; $(BIN)/python bench/$$bench.py $(BENCH_FLAGS); done

lint: $(VENV)/.development ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.development ## format the code
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format --quiet .

schemas: $(VENV)/.runtime ## write anew what is made from code: JSON Schema files and pages of docs/
	$(BIN)/python -m schemas.json_schemas
	$(BIN)/python -m schemas.asyncapi
	$(BIN)/python -m streams.parsing.coverage
	$(BIN)/python -m journal_postfix.settings_page
	$(BIN)/python -m journal_postfix.schema_page

lock: $(VENV)/.development ## resolve the dependencies anew, into the lock files
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--no-annotate --extra embedded --group build --output-file requirements.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--no-annotate --constraint requirements.lock --all-extras --group build --group lint --group test --group release \
		--output-file requirements-dev.lock pyproject.toml

audit: $(VENV)/.development ## look for known vulnerabilities of the locked dependencies; asks osv.dev
	@mkdir -p build && rm -f build/audit.json
	@$(BIN)/pip-audit --requirement requirements.lock --disable-pip --vulnerability-service osv --progress-spinner off \
		--format json --output build/audit.json; found=$$?; \
	test -s build/audit.json || { echo "make audit: osv.dev did not answer: nothing was looked at" >&2; exit 3; }; \
	$(BIN)/python -m json.tool build/audit.json >&2; exit $$found

sbom: $(VENV)/.development ## write the bill of materials of the locked dependencies to dist/
	@mkdir -p dist
	$(SBOM)

release: $(VENV)/.development ## build wheel and sdist, check them, add the bill of materials and checksums: dist/
	@test -z "$$(git status --porcelain 2>/dev/null)" || { echo "make release: commit first, or it is no release of anything" >&2; exit 1; }
	rm -rf dist
	SOURCE_DATE_EPOCH=$(RELEASED) $(BIN)/python -m hatchling build -d dist
	$(BIN)/twine check --strict dist/*
	$(SBOM)
	cd dist && sha256sum * > SHA256SUMS && cat SHA256SUMS

# The virtual environment, with what is needed to run.
$(VENV)/.runtime: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: Python 3.11, 3.12 or 3.13 is needed; none was found. Give one: make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { $(APT) update --quiet=2; $(APT) install --yes --quiet=2 --no-install-recommends python3-venv; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	touch $@

# … and with what the tests and linters need. systemd-python is compiled against libsystemd.
$(VENV)/.development: $(VENV)/.runtime requirements-dev.lock tests/debian-packages.txt
	@missing=$$(for p in $(DEBIAN_PACKAGES); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
		command -v apt-get >/dev/null || { echo "make: the tests need these Debian packages:" $$missing >&2; exit 1; }; \
		set -x; $(APT) update --quiet=2; \
		DEBIAN_FRONTEND=noninteractive $(APT) install --yes --quiet=2 --no-install-recommends $$missing; \
	fi
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.lock
	touch $@

clean: ## remove what was made here
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
