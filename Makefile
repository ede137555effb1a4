# Each target is a line or two; the work is in scripts/tools and in the workflow itself.
.DEFAULT_GOAL := help
SHELL := /bin/sh

CONFIG ?=
VENV ?= .venv
BIN := $(VENV)/bin
NODES ?=
POOL ?= loan-pool
MINUTES ?= 20
POOL_OPTIONS := --name $(POOL) $(if $(NODES),--nodes $(NODES))

.PHONY: help setup run submit follow report models rollback promote reject dag schema sample docs doctor lint format test test-unit test-workflow test-pool \
	test-nfs test-storm bench bench-dagman bench-nfs bench-scale bench-schedd lock clean install-profile \
	pool-up pool-run pool-status pool-shell pool-down pool-purge

help: ## show the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

setup: ## build the environment in .venv from requirements.lock
	@scripts/tools/setup_env.sh $(VENV)

run: setup ## run the whole workflow: make run [CONFIG=your.yaml]
	@$(BIN)/python -m scripts.tools.run $(if $(CONFIG),--config "$(CONFIG)")

submit: setup ## on an access point: run the workflow as a job that outlives your login: make submit [CONFIG=your.yaml] [NOTIFY=a@b]
	@$(BIN)/python -m scripts.tools.submit $(if $(CONFIG),--config "$(CONFIG)") $(if $(NOTIFY),--notify "$(NOTIFY)")

# It only looks: whatever environment is there does, also while a run goes on in it and the lock has changed.
follow: $(if $(wildcard $(VENV)/installed-lock),,setup) ## show the progress of the submitted run, from any later login
	@$(BIN)/python -m scripts.tools.follow

report: setup ## write results/report.html
	@$(BIN)/python -m scripts.tools.run $(if $(CONFIG),--config "$(CONFIG)") --target report

models: setup ## versions in the model registry, or what was live: make models [AT=2026-03-01]
	@$(BIN)/python -m scripts.tools.models $(if $(CONFIG),--config "$(CONFIG)") $(if $(AT),--at "$(AT)") \
		$(if $(ADOPT),--adopt "$(ADOPT)")

rollback: setup ## make an older version live: make rollback VERSION=… (make models lists them)
	@$(BIN)/python -m scripts.tools.rollback $(if $(CONFIG),--config "$(CONFIG)") "$(VERSION)"

promote: setup ## make a staged version live: make promote VERSION=… REASON="…" (deploy.approval)
	@$(BIN)/python -m scripts.tools.promote $(if $(CONFIG),--config "$(CONFIG)") --reason "$(REASON)" "$(VERSION)"

reject: setup ## say no to a staged version: make reject VERSION=… REASON="…"
	@$(BIN)/python -m scripts.tools.promote $(if $(CONFIG),--config "$(CONFIG)") --reject --reason "$(REASON)" \
		"$(VERSION)"

dag: setup ## draw results/dag.svg, results/rulegraph.svg and both as mermaid
	@$(BIN)/python -m scripts.tools.draw_dag $(if $(CONFIG),--config "$(CONFIG)")

schema: setup ## write a config for your data: make schema DATA=loans.csv TARGET=loan_status OUT=my.yaml
	@$(BIN)/python -m scripts.tools.infer_schema --data "$(DATA)" --target "$(TARGET)" --out "$(OUT)"

sample: setup ## make the shipped sample again (same bytes: the seed is fixed)
	@$(BIN)/python -m scripts.tools.make_sample data/sample

docs: setup ## write config/README.md and the JSON schema from scripts/shared/config.py
	@$(BIN)/python -m scripts.tools.config_docs

doctor: setup ## check pool, folder and requests before a run: make doctor [CONFIG=your.yaml]
	@$(BIN)/python -m snakemake_logger_plugin_htcondor.doctor -- --profile htcondor \
		$(if $(CONFIG),--configfile "$(CONFIG)")

install-profile: ## make `snakemake --profile htcondor` find profiles/htcondor
	@scripts/tools/install_profile.sh

pool-up: setup ## start a real HTCondor pool in containers: make pool-up [NODES=4] [POOL=loan-pool]
	@$(BIN)/python -m pool.pool up $(POOL_OPTIONS)

pool-run: setup ## run the whole workflow on the pool: snakemake --profile htcondor
	@$(BIN)/python -m pool.pool run $(POOL_OPTIONS) $(if $(CONFIG),--configfile "$(CONFIG)")

pool-status: setup ## hosts, slots and queue of the pool
	@$(BIN)/python -m pool.pool status $(POOL_OPTIONS)

pool-shell: setup ## a shell on the access point, as the submitting user
	@$(BIN)/python -m pool.pool shell $(POOL_OPTIONS)

pool-down: setup ## stop the pool and remove all that it left
	@$(BIN)/python -m pool.pool down $(POOL_OPTIONS)

pool-purge: setup ## pool-down, and remove the image and the environment that the next start would use
	@$(BIN)/python -m pool.pool purge $(POOL_OPTIONS)

lint: setup ## ruff, snakefmt, snakemake --lint, mypy
	@scripts/tools/lint.sh $(BIN)

format: setup ## let ruff and snakefmt format the code
	@$(BIN)/ruff check --fix --quiet . && $(BIN)/ruff format --quiet . && $(BIN)/snakefmt workflow

test: setup ## all tests, with coverage of scripts/
	@scripts/tools/test.sh $(BIN)

test-unit: setup ## the unit tests alone
	@$(BIN)/pytest -q -n auto tests/unit scripts

test-workflow: setup ## the workflow tests alone
	@$(BIN)/pytest -q -n auto -m workflow

test-pool: setup ## the pool tests alone: real HTCondor in containers
	@$(BIN)/python -m pool.pool check
	@$(BIN)/pytest -q -m pool -n 2 --dist loadfile --no-loadscope-reorder

test-nfs: setup ## before a release: the workflow on a shared folder that is real NFS (some ten minutes)
	@$(BIN)/pytest -q -m nfs

test-storm: setup ## runs on a pool with a fault every half minute: make test-storm [MINUTES=20] [SEED=1]
	@$(BIN)/python -m tests.pool.storm --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

bench: setup ## what a job costs: ratios of script: and shell: rules [WHERE=pool]
	@$(BIN)/python -m benchmarks.job_start $(if $(WHERE),--where $(WHERE))

bench-dagman: setup ## our workflow against the same steps under DAGMan, on a pool of its own (some 10 minutes)
	@$(BIN)/python -m benchmarks.dagman

bench-nfs: setup ## start of a job from NFS against a node's own copy of the environment (some 4 minutes; root)
	@$(BIN)/python -m benchmarks.nfs_start

bench-scale: setup ## CPU and memory by the rows, against whole-file scripts: make bench-scale [ROWS="1000000 2000000"] [WHERE=pool]
	@$(BIN)/python -m benchmarks.scale $(if $(ROWS),--rows $(ROWS)) $(if $(WHERE),--where $(WHERE))

bench-schedd: setup ## what watching costs a schedd with 1,000 idle jobs, on a pool of its own (some 7 minutes)
	@$(BIN)/python -m benchmarks.schedd_cost

lock: ## renew requirements.lock and environment.yml from pyproject.toml (needs uv)
	@uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" pyproject.toml -o requirements.lock
	@$(BIN)/python -m scripts.tools.environment_file

clean: ## remove results (never the deployed models)
	@find results -mindepth 1 ! -name README.md -delete
