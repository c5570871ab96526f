"""What every test may ask for: the captures, and a host with root and Open vSwitch."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests import examples, leftovers  # noqa: F401  `examples` registers the profile of the quick run
from tests.order import seconds_of, slowest_files

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("LEGO_DATA", ROOT.parent / "shared" / "data"))


def pytest_configure(config):
    """On CI nothing may be skipped, for a skipped check hides what it would find; and children must hear SIGINT.

    A shell lets what it starts in the background ignore SIGINT, and processes inherit that; the tests send it to their children.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    leftovers.mark_this_run()
    lacking = [what for what, there in (("root", os.geteuid() == 0), (f"captures in {DATA}", DATA.is_dir())) if not there]
    if lacking and os.environ.get("CI") == "true":
        raise pytest.UsageError(f"CI lacks {' and '.join(lacking)}: tests would be skipped")


def pytest_sessionstart(session):
    """Before anything is measured or started: what a killed run left is removed. A worker leaves that to its run."""
    if not hasattr(session.config, "workerinput"):
        leftovers.clear()


def pytest_terminal_summary(terminalreporter):
    """The files that took longest: they bound the time of a run in two workers, and tests/order.py has them first."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports if hasattr(report, "nodeid")]
    if len(files := slowest_files(reports)) > 1:
        terminalreporter.section("slowest files")
        for path, seconds in files:
            terminalreporter.write_line(f"{seconds:7.1f} s  {path}")


def pytest_collection_modifyitems(config, items):
    """Skip, with the reason, what this machine cannot run. The files that take longest go first: workers share them."""
    items.sort(key=lambda item: -seconds_of(item.nodeid.partition("::")[0]))
    for item in items:
        if item.get_closest_marker("data") and not DATA.is_dir():
            item.add_marker(pytest.mark.skip(reason=f"no captures in {DATA}; set LEGO_DATA"))
        if item.get_closest_marker("root") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder with the real captures and golden values."""
    return DATA


@pytest.fixture(scope="session")
def oracle():
    """The executable definition of the 115 statistics, as a module."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("kitsune115_oracle", DATA.parent / "oracle" / "kitsune115.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session", autouse=True)
def open_vswitch(request):
    """Open vSwitch for the tests that need a host; one that was started here is stopped again."""
    if not any(item.get_closest_marker("root") and not item.get_closest_marker("skip") for item in request.session.items):
        yield
        return
    from lego_sdn.adapters.ovs.vsctl import Ovs

    ovs = Ovs("tests")
    started = ovs.start()
    yield
    if started:
        ovs.stop()
