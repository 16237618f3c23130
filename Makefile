.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt
unexport PYTHONDONTWRITEBYTECODE
export UV_COMPILE_BYTECODE := 1
SLOW := history integration plugins sensors snapshots transfers triggers api/test_deadline.py page/test_page_warehouse.py \
	watch/test_metrics.py watch/test_pace_simulation.py watch/test_polling.py test_deprecations.py test_faults.py \
	test_fuzz.py test_snippets.py

.PHONY: help demo demo-events demo-approval demo-page test coverage test-fast test-browser test-databases test-matrix \
	test-cluster test-load test-upgrade test-mutants test-warehouse-docs \
	pictures check dist benchmark constraints clean

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 14

demo: .venv/ready ## run two of the example DAGs through Airflow against a sandbox
	$(BIN)/python scripts/demo.py

demo-events: .venv/ready ## run a whole Airflow, which starts DAGs when a sandbox's keys and credits run low
	$(BIN)/python scripts/demo_events.py

demo-approval: .venv/ready ## run a whole Airflow, which asks before it raises the limit of a sandbox's key
	$(BIN)/python scripts/demo_approval.py

demo-page: .venv/ready ## run a whole Airflow with the page of a sandbox's account, until Ctrl+C
	$(BIN)/python scripts/demo_page.py

test: .venv/ready ## run the tests
	$(BIN)/python -m pytest

coverage: .venv/ready ## run the same tests, and fail if they cover too little
	$(BIN)/python -m pytest --cov

test-fast: .venv/ready ## run the quick tests
	$(BIN)/python -m pytest --numprocesses=4 $(addprefix --ignore=tests/,$(SLOW))

test-browser: .venv/ready ## test the pages of a whole Airflow, and who may see them (needs chromium)
	$(BIN)/python -m pytest tests/browser --numprocesses=0

test-databases: .venv/ready ## test writing to MariaDB and through PgBouncer (needs mariadb-server, libmariadb-dev, pgbouncer)
	$(INSTALL) -e '.[dev,databases]'
	$(BIN)/python -m pytest tests/databases

test-matrix: .venv/ready ## run the tests on every supported line of Airflow, Python and pandas
	$(BIN)/python scripts/matrix.py $(ONLY)

test-cluster: .venv/ready ## run the example DAGs on a cluster and kill parts of it (needs redis-server, chromium)
	$(INSTALL) -e '.[dev,cluster]'
	$(BIN)/python -m pytest tests/cluster --numprocesses=0 -p no:randomly -v

test-mutants: .venv/ready ## change the code in small ways, and list the changes that no test notices
	$(INSTALL) -e '.[dev,mutants]'
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/mutmut run --max-children=2 $(ONLY)
	$(BIN)/python scripts/mutants.py

test-load: .venv/ready ## let 1,200 deferred sensors wait in one triggerer
	$(BIN)/python tests/load/waiting.py

test-upgrade: .venv/ready ## let a whole Airflow go on with what it stored and began with an early checkout
	$(BIN)/python -m pytest tests/upgrade --numprocesses=0 -p no:randomly -v

test-warehouse-docs: .matrix/warehouses/ready ## test the DAGs of docs/warehouses.md with the providers of the warehouses
	.matrix/warehouses/bin/python -m pytest tests/warehouse_docs --numprocesses=0

pictures: .venv/ready ## take the pictures of the docs in a whole Airflow (needs chromium)
	$(BIN)/python scripts/pictures.py

check: .venv/ready ## check the code with ruff, mypy and bandit
	$(BIN)/pre-commit run --all-files --show-diff-on-failure --color=never

dist: .venv/ready ## build the wheel and the source distribution, and check them
	rm -rf dist
	$(BIN)/python -m build --installer=uv
	$(BIN)/twine check --strict dist/*
	$(BIN)/python scripts/check_dist.py dist

benchmark: .venv/ready ## compare listing, waiting, writing and the page with the alternatives (needs chromium)
	$(INSTALL) -e '.[benchmark]'
	$(BIN)/python tests/benchmarks/listing.py
	$(BIN)/python tests/benchmarks/waiting.py
	$(BIN)/python tests/benchmarks/writing.py
	$(BIN)/python tests/benchmarks/growth.py
	$(BIN)/python tests/benchmarks/activity.py
	$(BIN)/python tests/benchmarks/page.py

constraints: ## compile constraints.txt again; needs no .venv
	$(PYTHON) -m venv build/tools
	build/tools/bin/python -m pip install --quiet uv
	build/tools/bin/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-annotate --no-header \
		--no-emit-index-url --no-emit-find-links pyproject.toml -o constraints.txt

clean: ## remove everything that was built or installed here
	rm -rf .venv .demo .matrix build dist mutants .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*

.venv/ready: pyproject.toml constraints.txt
	@echo "=== Setting up .venv, once"
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11 …" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt uv
	$(INSTALL) pip -e '.[dev]'
	@touch $@

# Without constraints.txt, because the newest Google provider needs an older SQLAlchemy. Nothing is compiled, because
# most of what that provider brings is never imported.
.matrix/warehouses/ready: export UV_COMPILE_BYTECODE := 0
.matrix/warehouses/ready: .venv/ready
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .matrix/warehouses
	$(BIN)/uv pip install --quiet --python .matrix/warehouses/bin/python -e '.[dev]' 'apache-airflow==3.3.*' sqlglot \
		'apache-airflow-providers-amazon>=9.39' 'apache-airflow-providers-databricks>=7.23' \
		'apache-airflow-providers-google>=22.8' 'apache-airflow-providers-snowflake>=6.20'
	@touch $@
