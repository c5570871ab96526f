"""Policies of a user's own: classes that the configuration names as `package.module:Class`.

Importing a module runs it. So root imports one only if no other user can have written it, or anything that it could import from beside it.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from lego_sdn.adapters.linux import owned
from lego_sdn.core.facts.config import KeyProblem
from lego_sdn.core.facts.errors import HostError
from lego_sdn.core.policy.registry import POLICIES

KEY = "scaling.policy"
IMPORTABLE = frozenset({".py", ".pyc", ".so"})


def make_known(named: str, folder: Path) -> None:
    """Import the class and let configurations name it. A module may lie in `folder`, or wherever Python looks.

    A name without a colon is one of LEGO's own, and nothing is done. KeyProblem, with the reason, if it cannot be imported or is no policy.
    """
    module, colon, name = named.partition(":")
    if not colon or named in POLICIES:
        return
    found = _imported(module, name, folder, named)
    if not isinstance(found, type):
        raise KeyProblem(KEY, f"a class ({name} in {module} is none)", named)
    if not callable(getattr(found, "suggest", None)):
        raise KeyProblem(KEY, f"a policy: a class with `suggest(memory, seen)`, which {name} lacks", named)
    POLICIES[named] = found


def _imported(module: str, name: str, folder: Path, named: str) -> Any:
    if os.geteuid() == 0:
        _require_roots(module, folder, named)
    sys.path.insert(0, str(folder))
    try:
        return getattr(importlib.import_module(module), name)
    except AttributeError as error:
        raise KeyProblem(KEY, f"package.module:Class ({error})", named) from error
    except Exception as error:  # the module is the user's: whatever it raises is said
        raise KeyProblem(KEY, f"package.module:Class; {module} cannot be imported ({type(error).__name__}: {error})", named) from error
    finally:
        sys.path.remove(str(folder))


def _require_roots(module: str, folder: Path, named: str) -> None:
    """KeyProblem if the module, or what lies beside it, may be another user's work. Nothing is imported to find that out."""
    try:
        for place in dict.fromkeys((str(folder.resolve()), *(os.path.abspath(entry) for entry in sys.path))):
            if (found := PathFinder.find_spec(module.partition(".")[0], [place])) is None:
                continue
            beside = Path(place) if place == str(folder.resolve()) else None
            for path in _imports_from(found, beside):
                owned.require_file(path)
            return
    except (HostError, OSError, ValueError, ImportError) as error:
        wanted = f"a module that only root can have written, since root would run it ({error})"
        raise KeyProblem(KEY, wanted, named) from error


def _imports_from(found: ModuleSpec, beside: Path | None) -> Iterator[Path]:
    """Files and folders of a module or package, and what Python could import from `beside`, the folder put on its path."""
    for folder in found.submodule_search_locations or ():
        yield Path(folder)
        yield from Path(folder).rglob("*")
    if found.origin is not None and found.has_location:
        yield Path(found.origin)
    if beside is not None:
        yield beside
        yield from (path for path in beside.iterdir() if path.is_dir() or path.suffix in IMPORTABLE)
