"""Checks of the controller's apps run in a process of their own: they import eventlet, which would warn whenever another test forks."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.ryu_apps.lab import ROOT


@pytest.mark.slow
def test_the_apps_by_themselves():
    command = [sys.executable, "-m", "pytest", "-q", "-W", "ignore", "-p", "no:cacheprovider", "tests/ryu_apps/in_eventlet.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
