# The words everybody can guess. Every one sets itself up: no other preparation is needed than python3 (3.11+), gcc, make.
PY := .venv/bin/python
SHELL := /bin/bash

.PHONY: run test lint bench bench-peers soak prod-rehearsal docs proto lock audit

run:
	@tools/venv.sh run
	@$(PY) manage.py up

test:
	@tools/venv.sh dev
	@tools/chromium.sh
	@tools/debian.sh prometheus promtool "alert and dashboard"
	@tools/debian.sh nginx nginx "proxy"
	@tools/node.sh tests/clients
	@tools/node.sh sdk/js
	@tools/node.sh tests/chat
	@$(PY) -m pytest -q -n 2 -m "not server"
	@$(PY) -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m server

lint:
	@tools/venv.sh dev
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy . & types=$$!; .venv/bin/lint-imports && $(PY) manage.py makemigrations --check --dry-run; \
		rest=$$?; wait $$types && exit $$rest # side by side: each keeps one core busy

bench:
	@tools/venv.sh dev
	@$(PY) -m benchmarks.inprocess
	@$(PY) -m benchmarks.handlers
	@$(PY) -m benchmarks.metrics
	@$(PY) -m benchmarks.gateway

# The same measurement beside other gateways, in an environment of their own.
bench-peers:
	@tools/venv.sh dev
	@$(PY) -m benchmarks.peers
	@$(PY) -m benchmarks.gateway --peers

# make soak NAME=…: one of the long runs; without a name they are listed.
soak:
	@tools/venv.sh dev
	@$(PY) -m benchmarks.soak $(NAME)

# A production start on this machine, by what deploy/ says and without containers (docs/deploy.md).
prod-rehearsal:
	@tools/venv.sh dev
	@tools/debian.sh nginx nginx "proxy"
	@$(PY) -m benchmarks.rehearsal

docs:
	@tools/venv.sh dev
	@$(PY) -m pytest -q tests/clawdbot_site/test_settings_page.py $(wildcard tests/test_docs*.py)

# The stubs of proto/, for the server and for sdk/python.
proto:
	@tools/venv.sh dev
	@$(PY) tools/proto.py

# requirements.lock: the hashes of all that an image is installed from. Needs the network.
lock:
	@tools/venv.sh run
	@$(PY) tools/lock.py

# Whether anything is known against what requirements.lock pins. Needs the network.
audit:
	@tools/audit.sh
