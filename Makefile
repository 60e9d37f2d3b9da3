# Two commands do everything on a fresh machine with Python >= 3.11, pip, make and git: `make demo` and `make test`.
.DEFAULT_GOAL := help
PY := .venv/bin/python
.PHONY: help setup dev up demo test test-long simulate check format docs picture lock bench clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install Probes into .venv; the command is .venv/bin/probes
	@tools/setup

dev: ## setup, and what tests and checks need
	@tools/setup dev

demo: setup ## a shop, its checks, an outage and its recovery, in a minute; ends with Ctrl-C
	@.venv/bin/probes demo

up: setup ## run checks.yaml on this machine, with a page
	@.venv/bin/probes up

test: dev ## every test but the long ones; installs real servers from Debian where it may
	@tools/system
	@$(PY) -m pytest -q

test-long: dev ## the tests that take minutes
	@tools/system
	@$(PY) -m pytest -q -m long

simulate: dev ## 100,000 simulated histories of the alert path, with faults; JOBS processes
	@$(PY) -m tests.simulation --histories $(or $(HISTORIES),100000) --jobs $(or $(JOBS),2)

check: dev ## lint, format, strict types, documentation in step with the code
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@$(PY) tools/reference.py --check

format: dev ## mend what lint and format can mend
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

docs: dev ## write docs/reference and checks.schema.json from the code
	@$(PY) tools/reference.py

picture: dev ## take the README's picture from a running demo (needs chromium)
	@$(PY) tools/picture.py

lock: ## resolve the newest versions that pyproject.toml allows, with hashes and without any index's address
	@tools/lock

bench: dev ## how exact and how cheap the engine is, next to blackbox_exporter; ten minutes on loopback (needs cc and libssl-dev)
	@$(PY) -m benchmarks.engine

clean: ## remove everything that was made here, the environment included
	@rm -rf .venv .tools .probes .benchmarks .apt.log dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
