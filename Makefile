# Every target sets up what it needs. `.venv` is made anew when pyproject.toml or constraints.txt change.
PYTHON ?= python3
PIP = .venv/bin/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

.PHONY: reproduce test test-slow test-hostile test-faults lint types bench docs clean
.DEFAULT_GOAL := help

help:
	@echo 'make reproduce   run the article'"'"'s experiment and print its table with ours beside it'
	@echo 'make test        run the tests; make test-slow: those that take long; make test-hostile: hostile inputs'
	@echo 'make test-faults 100 kills of workers, nodes and drivers, each; about an hour'
	@echo 'make lint        check style; make types: check types'
	@echo 'make bench       measure speed: probe, layers, and training beside Keras (in .venv-keras) and PyTorch'
	@echo 'make docs        render the tables and figures of the documents from benchmarks/results'
	@echo 'make clean       remove environments and caches; runs/ stays'

reproduce: .venv/core
	.venv/bin/shiftproof reproduce

test: .venv/dev
	.venv/bin/python -m pytest -n auto --dist worksteal -q -m 'not slow'

test-slow: .venv/dev
	.venv/bin/python -m pytest -n auto --dist worksteal -q -m slow

test-hostile: .venv/dev
	.venv/bin/python -m pytest -n auto -q tests/hostile

test-faults: .venv/dev
	SHIFTPROOF_FAULTS=100 .venv/bin/python -m pytest -q tests/faults

lint: .venv/dev
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .

types: .venv/dev
	.venv/bin/mypy

bench: .venv/dev .venv-keras/done .gradio/done
	.venv/bin/python -m benchmarks.probing
	.venv/bin/python -m benchmarks.normalised
	.venv/bin/python -m benchmarks.plans
	.venv/bin/python -m benchmarks.layers
	.venv/bin/python -m benchmarks.networks
	.venv/bin/python -m benchmarks.certificates
	.venv/bin/python -m benchmarks.pages
	.venv/bin/python -m benchmarks.explaining
	.venv/bin/python -m benchmarks.fixing
	.venv/bin/python -m benchmarks.without_training
	.venv/bin/python -m benchmarks.first_and_last
	.venv/bin/python -m benchmarks.where_to_blur
	.venv/bin/python -m benchmarks.guide
	.venv/bin/python -m benchmarks.serving
	.venv/bin/python -m benchmarks.storing
	.venv/bin/python -m benchmarks.scaling
	.venv/bin/python -m benchmarks.training

docs: .venv/dev
	.venv/bin/python -m benchmarks.update_docs

clean:
	rm -rf .venv .venv-keras .gradio build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/core: pyproject.toml constraints.txt
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(PIP) --editable .
	touch $@

.venv/dev: .venv/core
	$(PIP) --editable '.[dev]'
	touch $@

.gradio/done: benchmarks/gradio-requirements.txt .venv/dev
	rm -rf .gradio
	.venv/bin/python -m pip --disable-pip-version-check install --quiet --target .gradio -r $<
	touch $@

.venv-keras/done: benchmarks/keras-requirements.txt
	rm -rf .venv-keras
	$(PYTHON) -m venv .venv-keras
	.venv-keras/bin/python -m pip --disable-pip-version-check install --quiet -r $<
	touch $@
