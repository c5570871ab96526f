"""The graphs of the NFs that this installation knows, by name."""

from __future__ import annotations

import importlib
import pkgutil
from itertools import pairwise
from types import ModuleType

from lego_sdn.core.errors import BrickError


def kinds_of(nf: str) -> tuple[str, ...]:
    """Kinds of the bricks of an NF, in the order of the graph. BrickError, with the known ones, if there is no such NF."""
    return tuple(_module(nf).GRAPH)


def links_of(nf: str) -> tuple[tuple[str, str], ...]:
    """The links (from, to) between the kinds of an NF's bricks; where it declares none, one after the other."""
    return tuple(getattr(_module(nf), "LINKS", pairwise(kinds_of(nf))))


def keyed_of(nf: str) -> str | None:
    """The kind of an NF's bricks whose replicas share out the sources; None: it has none."""
    return getattr(_module(nf), "KEYED", None)


def _module(nf: str) -> ModuleType:
    import bricks.nfs

    names = (module.name for module in pkgutil.iter_modules(bricks.nfs.__path__))
    known = sorted(name for name in names if not name.endswith("_declaration"))
    if nf not in known:
        raise BrickError(f"there is no NF {nf!r}; bricks/nfs has {', '.join(known)}")
    return importlib.import_module(f"bricks.nfs.{nf}")
