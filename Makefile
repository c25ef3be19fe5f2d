# Two commands to begin with: `make run` and `make test`. Everything else is for those who change the code.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXPLORER := explorer/dist/index.html
EXPLORER_SOURCES := $(shell find explorer -path explorer/node_modules -prune -o -path explorer/dist -prune -o -type f -print)

.PHONY: run test check format bench soak reset lock pdf otel explorer explorer-test npm-test dev

run:
	@$(MAKE) --no-print-directory -j 2 $(VENV)/.runtime explorer-if-possible
	@$(BIN)/python cli.py serve --prepare

# Invoices and credit notes as PDF want a typesetter and fonts, about 60 MB; without them there are none.
pdf: $(VENV)/.runtime
	@$(BIN)/pip install -qq --disable-pip-version-check --require-hashes -r requirements-pdf.txt

# Spans for an OpenTelemetry collector: sent when OTEL_EXPORTER_OTLP_ENDPOINT names one.
otel: $(VENV)/.runtime
	@$(BIN)/pip install -qq --disable-pip-version-check --require-hashes -r requirements-otel.txt

reset:
	@rm -rf var && echo "The local data is gone; 'make run' starts over."

test: dev
	@$(BIN)/pytest -n 2 --dist worksteal

check: dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/basedpyright
	@$(BIN)/lint-imports
	@$(BIN)/python cli.py schema | diff -u schema/schema.graphql - \
		|| { echo "The schema changed: run 'make format', and see CHANGELOG.md if it breaks clients."; exit 1; }
	@$(BIN)/python -m docs.generate --check
	@$(BIN)/python -m migrations.check

format: dev
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(BIN)/python cli.py schema > schema/schema.graphql.new && mv schema/schema.graphql.new schema/schema.graphql
	@$(BIN)/python -m docs.generate

bench: dev
	@$(BIN)/python -m bench
	@$(BIN)/python -m bench.engine
	@$(BIN)/python -m bench.renewals

# Long runs: what they print stands in docs/reliability.md with its seeds.
soak: dev
	@$(BIN)/python -m tests.soak.cents --rounds 100000
	@set -e; for engine in sqlite postgresql; do run="$(BIN)/python -m tests.soak"; on="--database $$engine"; \
		$$run.renewals $$on --kills 200 --subscriptions 200; \
		$$run.renewals $$on --kills 200 --subscriptions 200 --forget-keys; \
		$$run.restored $$on --kills 40 --subscriptions 100; \
		$$run.seams $$on; \
		$$run.at_once $$on --rounds 20; \
		$$run.shared_work $$on --workers 10 --subscriptions 1000; \
		$$run.lost_answers $$on; \
		$$run.outages $$on; \
		$$run.webhooks $$on; \
		$$run.fuzzing $$on --cases 2000; \
		$$run.strangers $$on; \
		$$run.sockets $$on; \
		$$run.fair_shares $$on --rounds 1000; \
		$$run.interleavings $$on --rounds 1000 --missed-news; \
		$$run.interleavings $$on --rounds 10000; done
	@$(BIN)/python -m tests.soak.crowd
	@$(BIN)/python -m tests.soak.canaries
	@$(BIN)/python -m tests.soak.blocking
	@set -e; for processes in 1 2; do $(BIN)/python -m tests.soak.stopping --processes $$processes; done
	@set -e; for gateway in sandbox stranger; do $(BIN)/python -m tests.soak.fleet --gateway $$gateway --subscriptions 200; done
	@$(BIN)/python -m tests.soak.restarts --restarts 20 --shoppers 40
	@set -e; for engine in sqlite postgresql; do $(BIN)/python -m tests.soak.upgrades --database $$engine --subscriptions 100; done

explorer: $(EXPLORER)

explorer-test: dev explorer
	@cd tests/explorer && npm ci --silent && cd ../.. && $(BIN)/python -m tests.explorer.run

# The sandbox against a stranger's SDK in another language.
npm-test: dev
	@cd tests/gateways/npm && npm ci --silent && cd ../../.. && $(BIN)/python -m tests.gateways.npm.run

dev: $(VENV)/.runtime $(VENV)/.dev

lock: dev
	@for name in requirements requirements-pdf requirements-otel requirements-dev; do \
		$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
			$$name.in -o $$name.txt; done

$(VENV)/.runtime: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo "Perennial needs Python 3.11 or newer: install it, or say which with 'make run PYTHON=python3.12'."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -qq --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt | $(VENV)/.runtime
	@$(BIN)/pip install -qq --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

.PHONY: explorer-if-possible
explorer-if-possible:
	@if node -e 'const [a,b]=process.versions.node.split("."); process.exit(a>20||(a==20&&b>=19)?0:1)' 2>/dev/null; \
	then $(MAKE) --no-print-directory explorer \
		|| echo "The explorer could not be built, see above: the API starts without it (later: 'make explorer')."; \
	else echo "No Node 20.19 or newer here: the API starts without its explorer (install Node, then 'make explorer')."; fi

$(EXPLORER): $(EXPLORER_SOURCES)
	@cd explorer && npm ci --loglevel error --prefer-offline --no-audit --no-fund > /dev/null && npm run --silent build -- --logLevel warn
	@touch $@
