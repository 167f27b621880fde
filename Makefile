# make sweep: install and run a small search · make test: the tests · make check: format, lint, types, walls, images · make wheel: dist/*.whl · make map: write docs/map.md, docs/knobs.md
PYTHON ?= python3
PY := .venv/bin/python

.PHONY: help sweep test check types style format wheel map clean

help:
	@sed -n 1p $(MAKEFILE_LIST)

# pip would compile every module of every package, half of the installation's time. Those that the jobs import are compiled here, by an import;
# others when they are first used, by whatever make runs.
unexport PYTHONDONTWRITEBYTECODE
EVERYTHING := import importlib, pkgutil, trm, mlflow.tracking, matplotlib.pyplot; \
  [importlib.import_module(module.name) for module in pkgutil.walk_packages(trm.__path__, 'trm.')]

# The stamp is written last, so an interrupted installation is taken up again; it is older than either file after a change of them.
.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "trm-search needs Python >= 3.11; $(PYTHON) is $$($(PYTHON) --version 2>&1); name another: make PYTHON=python3.12" >&2; exit 2; }
	@echo "installing into .venv; the first time takes a few minutes"
	@$(PYTHON) -m venv .venv
	@$(PY) -m pip install -q --disable-pip-version-check -c constraints.txt -U pip
	@PYTHONWARNINGS=ignore $(PY) -m pip install -q --disable-pip-version-check --no-compile -c constraints.txt -e '.[dev]'
	@$(PY) -W ignore -c "$(EVERYTHING)"
	@touch $@

.PHONY: .venv
.venv: .venv/installed

sweep: .venv
	$(PY) ray_jobs/sweep.py search_spaces/sudoku4x4.yaml

# tests/conftest.py says how many processes there are, and what goes together.
test: .venv
	$(PY) -m pytest -n auto --dist loadfile --no-loadscope-reorder

check: types style

types: .venv
	$(PY) -m mypy

style: .venv
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	.venv/bin/lint-imports
	.venv/bin/hadolint docker/Dockerfile docker/Dockerfile.cuda
	$(PY) -m yamllint -s docker k8s
	.venv/bin/check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml
	.venv/bin/check-jsonschema --schemafile k8s/schemas/manifest.schema.json k8s/*.yaml

format: .venv
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

# One file with the shipped spaces and recipes in it; the same bits from the same commit.
wheel: .venv
	rm -rf build dist
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(PY) -m pip wheel -q --disable-pip-version-check --no-deps --no-build-isolation -w dist .
	@ls -l dist/*.whl

# docs/map.md, README's rooms and docs/knobs.md, from what the code says of itself.
map: .venv
	$(PY) tests/test_map.py
	$(PY) tests/test_knobs.py

# Keeps runs/ and data/: they are the user's.
clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
