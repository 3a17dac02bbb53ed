# make lab: the whole product on this machine. make test: everything that must hold. `make` alone says what else there is.
BMK = .venv/bin/bmk

.DEFAULT_GOAL = help
.PHONY: help setup lab lab-ha lab-down test lint unit services containers machines artifacts format schema clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|'

setup: ## install what is missing: Debian packages, Python libraries, Go
	@scripts/setup

lab: setup artifacts ## virtual machines, from powered off by PXE to a Ready cluster
	$(BMK) provision lab --yes

lab-ha: setup artifacts ## three control planes behind a virtual address and two workers, as containers (root)
	$(BMK) provision lab-ha --yes

lab-down: ## end the labs; nothing is left
	$(BMK) lab down lab
	$(BMK) lab down lab-ha

artifacts: setup ## build or fetch what the lock file names; nothing when it is all there
	$(BMK) artifacts build

test: setup ## lint, types, unit tests, real services, containers, virtual machines
	scripts/test

lint unit services containers machines: setup
	scripts/test $@

format: setup ## format the Python code
	.venv/bin/ruff check --fix bmk tests bench
	.venv/bin/ruff format bmk tests bench

schema: setup ## write from the models: docs/schema, argument specs and defaults of roles
	for kind in dc hosts addresses; do $(BMK) schema $$kind > docs/schema/$$kind.schema.json || exit; done
	.venv/bin/python scripts/role-specs

clean: ## remove caches of tools (never state or artifacts)
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
