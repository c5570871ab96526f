"""Who starts LEGO in a folder of another user's, or with an environment that names one, runs none of that user's code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lego_sdn.adapters.linux import processes
from lego_sdn.agent.launcher import Launcher
from tests.fakes.host import PATIENCE_S
from tests.system.test_local import is_up, place, up, wait_for  # noqa: F401 (fixtures)

IMPORTED = ("bricks", "lego_sdn", "ryu_apps", "ryu", "eventlet", "msgpack", "numpy", "numba", "yaml", "click", "json", "socket")
AT_START = ("sitecustomize", "usercustomize")


@pytest.fixture
def hostile(tmp_path):
    """A folder with a module for every name that LEGO imports; whoever imports one leaves a line in `trap`."""
    folder, trap = tmp_path / "hostile", tmp_path / "trap"
    for name in (*IMPORTED, *AT_START):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"open({str(trap)!r}, 'a').write({name!r} + chr(10))\n")
    subprocess.run([sys.executable, "-c", "import json"], cwd=folder, check=True)
    assert trap.read_text() == "json\n", "the trap works"
    trap.unlink()
    return folder, trap


def environment(folder: Path) -> dict[str, str]:
    """Every variable by which Python finds code; only root, whose rights are at stake, does not hand on where numba keeps compiled code."""
    names = ("PYTHONPATH", "PYTHONUSERBASE", "PYTHONPYCACHEPREFIX", *(("NUMBA_CACHE_DIR",) if os.geteuid() == 0 else ()))
    return {**os.environ, **dict.fromkeys(names, str(folder)), "PYTHONSTARTUP": str(folder / "json" / "__init__.py")}


@pytest.mark.slow
def test_the_warm_process_imports_nothing_from_there(hostile, tmp_path, monkeypatch):
    folder, trap = hostile
    monkeypatch.chdir(folder)
    for name, value in environment(folder).items():
        monkeypatch.setenv(name, value)
    run_dir = tmp_path / "run"
    run_dir.mkdir(mode=0o700)
    launcher = Launcher(run_dir, f"hostile{os.getpid()}")
    try:
        launcher.start()
        launcher.wait_ready(PATIENCE_S)
    finally:
        launcher.stop()
    assert not trap.exists()


@pytest.mark.root
@pytest.mark.parametrize("how", ["command", "environment"])
def test_agent_controller_and_bricks_import_nothing_from_there(hostile, place, up, how):  # noqa: F811
    """By the command `lego`, as from a shell in that folder; and by an isolated Python that hands its environment on."""
    folder, trap = hostile
    lego = [str(Path(sys.executable).with_name("lego"))] if how == "command" else [*processes.PYTHON, "-m", "lego_sdn"]
    child, _ = up(command=lego, cwd=folder, env=environment(folder) if how == "environment" else None)
    wait_for(lambda: is_up(place, child))
    child.terminate()
    assert child.wait(PATIENCE_S) == 128 + 15
    assert not trap.exists()
