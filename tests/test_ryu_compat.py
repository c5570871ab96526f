"""The import hook: there when Ryu is imported, and otherwise neither seen nor felt."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.examples import few_in_quick

ROOT = Path(__file__).resolve().parent.parent
HOOK = "lego_sdn_ryu.pth"


def python(code: str, *options: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *options, "-c", code], capture_output=True, text=True, timeout=120, env=os.environ | environment, check=False
    )


def test_it_is_installed_beside_the_packages():
    assert (Path(sysconfig.get_paths()["purelib"]) / HOOK).read_text() == (ROOT / HOOK).read_text()


def test_an_ordinary_start_imports_nothing_for_it():
    heavy = ("eventlet", "ryu", "oslo_config", "importlib.metadata", "logging", "numpy", "yaml")
    done = python(f"import sys; print([name for name in {heavy} if name in sys.modules], 'lego_sdn.ryu_compat' in sys.modules)")
    assert (done.stdout, done.stderr) == ("[] True\n", "")


@pytest.mark.parametrize("broken", few_in_quick(["raise ImportError('x')", "1/0", "def watch():\n    raise OSError", "not Python", ""], 2))
def test_a_broken_package_does_not_break_the_start(tmp_path, broken):
    package = tmp_path / "lego_sdn"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "ryu_compat.py").write_text(broken)
    done = python("print('started')", PYTHONPATH=str(tmp_path))
    assert (done.stdout, done.stderr, done.returncode) == ("started\n", "", 0)


@pytest.mark.slow
def test_ryu_s_command_line_has_the_option_and_says_nothing_of_eventlet():
    done = subprocess.run([Path(sys.executable).parent / "ryu-manager", "--help"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0
    assert "--lego-config FILE" in done.stdout
    assert done.stderr == ""


@pytest.mark.slow
def test_the_name_that_ryu_needs_is_back():
    done = python(
        "import ryu.app.wsgi, eventlet.wsgi; print(eventlet.wsgi.ALREADY_HANDLED == ryu.app.wsgi._AlreadyHandledResponse()(0, 0))"
    )
    assert done.stdout == "True\n", done.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="Python has no distutils of its own any more: Ryu gets that of setuptools")
def test_ryu_imports_no_setuptools_and_others_get_the_distutils_that_they_would_get():
    shown = "print('setuptools' in sys.modules, '_distutils' in distutils.__file__)"
    assert python(f"import sys, ryu.lib.packet.zebra, distutils; {shown}").stdout == "False False\n"
    assert python(f"import sys, distutils; {shown}", "-W", "ignore").stdout == "True True\n"


@pytest.mark.slow
def test_a_name_that_eventlet_has_is_left_as_it_is():
    code = "import eventlet.wsgi; eventlet.wsgi.ALREADY_HANDLED = 'its own'; import ryu.app.wsgi; print(eventlet.wsgi.ALREADY_HANDLED)"
    assert python(code, "-W", "ignore").stdout == "its own\n"


def test_watching_twice_is_watching_once():
    counts = "print(sum(isinstance(f, c.RyuFinder) for f in sys.meta_path))"
    assert python(f"import sys; from lego_sdn import ryu_compat as c; c.watch(); c.watch(); {counts}").stdout == "1\n"


@pytest.mark.slow
def test_only_ryu_manager_patches_the_standard_library():
    asks = "import eventlet.patcher as p; print(p.is_monkey_patched('thread'))"
    assert python(f"import ryu.app.wsgi; {asks}").stdout == "False\n"
    assert python(f"import ryu.cmd.manager; {asks}").stdout == "True\n"
    assert python(f"import sys; sys.argv.append('--enable-debugger'); import ryu.cmd.manager; {asks}").stdout == "False\n"
