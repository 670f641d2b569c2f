# The whole project from a clean clone, with nothing but python3 and make. `make` alone lists the targets.

PYTHON ?= python3
JOBS   ?= 2
VENV   := .venv
PY     := $(VENV)/bin/python
STAGE  := sh tools/stage
PIP    := env PYTHONWARNINGS=ignore $(PY) -m pip install $(PIP_FLAGS) -c constraints.txt
PYTEST := $(PY) -m pytest
LIBRARY := $(PYTEST) -n $(JOBS) --dist worksteal --timeout 300 tests --ignore tests/browser
NBVAL  := $(PYTEST) --nbval-current-env -n $(JOBS) --dist loadfile

# On Linux the default index serves PyTorch's CUDA build, several gigabytes that this course has no use for.
ifeq ($(TORCH),cpu)
export PIP_EXTRA_INDEX_URL := $(PIP_EXTRA_INDEX_URL) https://download.pytorch.org/whl/cpu
endif
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Whatever the shell says: without bytecode each kernel and worker compiles all it imports: 3 seconds of its 5.
export PYTHONDONTWRITEBYTECODE :=

NOTEBOOKS := $(wildcard notebooks/*.ipynb)
RENDERED  := $(NOTEBOOKS:notebooks/%=rendered/%)
SOLUTIONS := $(wildcard solutions/*/*.ipynb)
BROWSED   := tests/browser/test_chapters.py
CHROMIUM  := $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help lab check test parts lint test-library test-learning test-full test-notebooks test-solutions test-browser \
    notebooks exercises handout grade class book bench clean

help:
	@echo 'make lab         open the course in JupyterLab      (ARGS="--no-browser --port=9000")'
	@echo 'make check       lint and the tests that train nothing: a minute and a half'
	@echo 'make test        everything CI runs: check, learning, notebooks, solutions, browser'
	@echo 'make notebooks   run the notebooks again, save them tidily, list their terms    (ONLY="path …")'
	@echo 'make exercises   write exercises/ from solutions/, and install nbgrader    (SEED=7: other numbers)'
	@echo 'make handout     what students get: build/handout.zip    (CHAPTERS="00 01 02" SEED=7 EXAM=1 GITHUB=1)'
	@echo 'make grade       grade what was handed in    (CHAPTER=05_reinforce JOBS=2 ARGS="--student alice")'
	@echo 'make class       who solved what, which mistakes were made by how many    (CHAPTER=05_reinforce)'
	@echo 'make book        the course as a website, to read: build/book/index.html'
	@echo 'make bench       measure rlx beside its peers'
	@echo 'make clean       remove the environment and everything else that was built'
	@echo
	@echo 'TORCH=cpu        on Linux: PyTorch without CUDA, ten times smaller to download'
	@echo 'PYTHON=python3.x another interpreter for the environment'

# One stamp for each set of extras: the second call of any target finds it and installs nothing.
# (The pip that comes with Python 3.11 takes twice as long as the one that is pinned.)
$(VENV)/.course: pyproject.toml constraints.txt
	@sh tools/venv "$(PYTHON)" $(VENV)
	@$(PIP) --quiet --upgrade pip
	@$(STAGE) 'install rlx and the course (over 1 GB: some minutes, once)' $(PIP) -e '.[course,tensorboard]'
	@touch $@

$(VENV)/.test: $(VENV)/.course
	@$(STAGE) 'install the test tools' $(PIP) -e '.[test]'
	@touch $@

$(VENV)/.classroom: $(VENV)/.course
	@$(STAGE) 'install nbgrader' $(PIP) -e '.[classroom]'
	@touch $@

$(VENV)/.book: $(VENV)/.course
	@$(STAGE) 'install what makes the book' $(PIP) -e '.[book]'
	@touch $@

$(VENV)/.bench: $(VENV)/.course
	@$(STAGE) 'install the peers' $(PIP) -e '.[bench]'
	@touch $@

# The folder with our defaults spares the learner a popup; as root JupyterLab runs only when told to. A notebook's
# name in place of default_url would make its folder the root, and every link out of it dead.
lab: $(VENV)/.course
	JUPYTER_CONFIG_PATH="$(CURDIR)/tools/jupyter" $(PY) -m jupyterlab --ServerApp.root_dir="$(CURDIR)" \
	    --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb \
	    $(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS)

check: lint test-library

# How long each part took is said once more at the end, whether it went well or not.
test:
	@times=$$(mktemp) && { STAGES=$$times $(MAKE) --no-print-directory parts; status=$$?; \
	    printf '\n'; cat $$times; rm $$times; exit $$status; }

parts: lint test-library test-learning test-notebooks test-solutions test-browser

lint: $(VENV)/.test
	@$(STAGE) 'ruff check' $(PY) -m ruff check .
	@$(STAGE) 'ruff format' $(PY) -m ruff format --check .

test-library: $(VENV)/.test
	@$(STAGE) 'library' $(LIBRARY) -m 'not slow'

test-learning: $(VENV)/.test
	@$(STAGE) 'learning' $(LIBRARY) -m 'slow and not full'

# The cells of the learning matrices that `make test` leaves out (tests/matrix.py).
test-full: $(VENV)/.test
	@$(STAGE) 'the whole matrix' $(LIBRARY) -m full

# A chapter's outputs are in rendered/, its executed copy. The chapters may draw and time things, so only their tagged
# cells are compared; solutions are compared whole. Chapters run in JupyterLab, as their readers run them, for a tenth
# more; where there is no Chromium by nbval, which sees no widget.
test-notebooks: $(VENV)/.test
ifneq ($(NOTEBOOKS),)
ifneq ($(CHROMIUM),)
	@$(STAGE) 'notebooks' $(PYTEST) -n $(JOBS) --dist load $(BROWSED)
else
	@$(STAGE) 'notebooks' $(NBVAL) --nbval-lax $(RENDERED)
endif
endif

# A notebook's cells share a kernel: in parallel only by file.
test-solutions: $(VENV)/.test
ifneq ($(SOLUTIONS),)
	@$(STAGE) 'solutions' $(NBVAL) --nbval $(SOLUTIONS)
endif

test-browser: $(VENV)/.test
	@$(STAGE) 'browser' $(PYTEST) --timeout 600 tests/browser --ignore $(BROWSED)

notebooks: $(VENV)/.test
	$(PY) tools/run_notebooks.py $(or $(ONLY),$(NOTEBOOKS) $(SOLUTIONS))
	$(PY) tools/make_reference.py

exercises: $(VENV)/.classroom
	$(PY) tools/make_exercises.py $(if $(SEED),--seed $(SEED) --solved build/solutions)

# docs/teaching.md says what is in it.
handout: $(VENV)/.course $(if $(SEED),exercises)
	@$(PY) tools/handout.py --chapters "$(CHAPTERS)" $(if $(EXAM),--exam) $(if $(GITHUB),--github)

# One submission at a time, unless the command line says otherwise: each takes a core.
grade: $(VENV)/.classroom
	@$(PY) tools/grade.py $(CHAPTER) --jobs $(if $(filter command line,$(origin JOBS)),$(JOBS),1) $(ARGS)

# From what grading has left: docs/teaching.md
class: $(VENV)/.classroom
	@$(PY) tools/class_report.py $(CHAPTER)

# From what the notebooks have saved; a link that leads nowhere is an error.
book: $(VENV)/.book
	$(PY) -m sphinx -q -W --keep-going -b html -c docs/book . build/book
	@echo 'the course as a book: build/book/index.html'

bench: $(VENV)/.bench
	@for file in $(filter-out benchmarks/until.py,$(wildcard benchmarks/*.py)); do $(STAGE) "$$file" $(PY) "$$file" || exit; done

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache screenshots
	find . \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +
