# Both targets set up .venv on a fresh machine (with or without a GPU) and do nothing when it is already there.
.PHONY: demo test test-long setup
export OMP_NUM_THREADS ?= 1

setup:
	@./.ci/setup

demo: setup
	@.venv/bin/blendsmith demo demo

test: setup
	@.venv/bin/python -m pytest -m "not long"

test-long: setup
	@.venv/bin/python -m pytest -m long
