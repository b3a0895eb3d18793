# Both targets set up .venv on a fresh machine (with or without a GPU) and do nothing when it is already there.
.PHONY: demo test test-long setup
export OMP_NUM_THREADS ?= 1

setup:
	@./.ci/setup

demo: setup
	@.venv/bin/blendsmith demo demo

# Two halves at once, one a core: half of the time on two cores.
test: setup
	@half=$$(mktemp); .venv/bin/python -m pytest -m "not long" tests/manifests tests/docs >"$$half" 2>&1 & other=$$!; \
	.venv/bin/python -m pytest -m "not long" --ignore tests/manifests --ignore tests/docs tests; first=$$?; \
	wait $$other; second=$$?; cat "$$half"; rm -f "$$half"; [ $$first = 0 ] && [ $$second = 0 ]

test-long: setup
	@.venv/bin/python -m pytest -m long
