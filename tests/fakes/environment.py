"""A virtual environment with LEGO and a package of somebody else's, as an installer leaves it: agent and controller load no other."""

from __future__ import annotations

import shutil
import sys
import sysconfig
import venv
from collections.abc import Mapping
from pathlib import Path


def new_environment(folder: Path) -> tuple[Path, Path]:
    """Its Python, and the folder where packages are installed; without a network."""
    place = folder / "venv"
    venv.create(place, symlinks=True, with_pip=False)
    python, (site,) = place / "bin" / "python", place.glob("lib/python3*/site-packages")
    (site / "lego.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    shutil.copy(Path(sys.executable).with_name("ryu-manager"), python.with_name("ryu-manager"))
    return python, site


def write_facts(site: Path, name: str, version: str, entry_points: Mapping[str, Mapping[str, str]]) -> None:
    """What an installer writes of a package beside it."""
    facts = site / f"{name}-{version}.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    points = [f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in rows.items()) for group, rows in entry_points.items()]
    (facts / "entry_points.txt").write_text("".join(points))
