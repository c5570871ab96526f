"""Policies of a user's own: classes that the configuration names as `package.module:Class`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from lego_sdn.core.config import KeyProblem
from lego_sdn.core.policies import POLICIES

KEY = "scaling.policy"


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
    sys.path.insert(0, str(folder))
    try:
        return getattr(importlib.import_module(module), name)
    except AttributeError as error:
        raise KeyProblem(KEY, f"package.module:Class ({error})", named) from error
    except Exception as error:  # the module is the user's: whatever it raises is said
        raise KeyProblem(KEY, f"package.module:Class; {module} cannot be imported ({type(error).__name__}: {error})", named) from error
    finally:
        sys.path.remove(str(folder))
