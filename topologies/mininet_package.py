"""Mininet where it is: importable, or as Debian's package `mininet`, whose module a virtual environment does not see.

Debian's package is taken because it brings `mnexec`, the program by which every Mininet host runs, which PyPI's lacks. Only the module
itself is let in, not the other packages of the system's Python.
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from lego_sdn.core.facts.errors import HostError

DEBIAN = Path("/usr/lib/python3/dist-packages/mininet")
INSTALL = "'apt-get install --no-install-recommends mininet' as root, or 'make install', brings it"


def load(debian: Path = DEBIAN) -> ModuleType:
    """The package `mininet`, with its modules `net`, `node` and `topo`. HostError, with what to do, if it is not there or does not load."""
    if not shutil.which("mnexec"):
        raise HostError(f"the paper's experiments run on Mininet hosts, and its program mnexec is missing: {INSTALL}")
    if "mininet" not in sys.modules and importlib.util.find_spec("mininet") is None:
        _let_in(debian)
    try:
        with _without_distutils():
            for module in ("net", "topo", "node"):
                importlib.import_module(f"mininet.{module}")
    except ImportError as error:
        version = ".".join(map(str, sys.version_info[:2]))
        raise HostError(f"Mininet does not load in Python {version} ({error}); run this with Python 3.11, or {INSTALL}") from error
    return sys.modules["mininet"]


def _let_in(debian: Path) -> None:
    """Make `import mininet` find Debian's, and nothing else beside it."""
    if not (debian / "__init__.py").is_file():
        raise HostError(f"the paper's experiments run on Mininet hosts, and its Python module is missing: {INSTALL}")
    spec = importlib.util.spec_from_file_location("mininet", debian / "__init__.py", submodule_search_locations=[str(debian)])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mininet"] = module
    spec.loader.exec_module(module)


@contextmanager
def _without_distutils() -> Iterator[None]:
    """Mininet 2.3.0 compares versions by distutils, which warns in Python 3.11 and is gone in 3.12: it gets this in its place."""
    stand_ins = {name: ModuleType(name) for name in ("distutils", "distutils.version")}
    stand_ins["distutils.version"].__dict__["StrictVersion"] = version_numbers
    before = {name: sys.modules.get(name) for name in stand_ins}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, module in before.items():
            del sys.modules[name]
            if module is not None:
                sys.modules[name] = module


def version_numbers(text: Any) -> tuple[int, ...]:
    """A version that compares as StrictVersion does: "2.10.1" is after "2.9"."""
    return tuple(int(part) for part in str(text).split(".") if part.isdecimal())
