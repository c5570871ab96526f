"""A policy of the user's own, imported by the name that the configuration gives (`scaling.policy: package.module:Class`)."""

from __future__ import annotations

import importlib
import inspect
import os
import sys

from lego_sdn.core.config import KeyProblem, Scaling
from lego_sdn.core.policies import POLICIES, add

KEY = "scaling.policy"


def provide(scaling: Scaling) -> None:
    """Make the policy that is named known to the core, if it is a class elsewhere: on PYTHONPATH or in the current folder.

    Raises KeyProblem, naming what is missing, if there is no such class or it is no policy.
    """
    name = scaling.policy
    if ":" not in name or name in POLICIES:
        return
    found = _imported(name)
    _require_policy(found, scaling)
    add(name, found)


def _imported(name: str) -> type:
    module, _, word = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # last: it hides nothing that is installed
    try:
        found = getattr(importlib.import_module(module), word, None)
    except Exception as error:  # whatever the user's own code raises at import
        raise KeyProblem(KEY, f"a module that can be imported ({type(error).__name__}: {error})", name) from error
    if not inspect.isclass(found):
        raise KeyProblem(KEY, f"a class {word!r} in module {module}", name)
    return found


def _require_policy(found: type, scaling: Scaling) -> None:
    """As `core.scaling.Policy` has it."""
    lacking = []
    if not isinstance(getattr(found, "name", None), str):
        lacking.append("name, a text")
    if not _takes(getattr(found, "suggest", None), (None, None, None)):
        lacking.append("suggest(self, memory, seen)")
    if not _takes(found, (scaling,)):
        lacking.append("__init__(self, scaling)")
    if lacking:
        raise KeyProblem(KEY, f"a policy; {found.__name__} lacks {' and '.join(lacking)}", scaling.policy)


def _takes(call: object, given: tuple[object, ...]) -> bool:
    """Whether it can be called with so much."""
    if not callable(call):
        return False
    try:
        inspect.signature(call).bind(*given)
    except (TypeError, ValueError):
        return False
    return True
