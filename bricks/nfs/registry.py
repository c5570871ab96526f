"""Every network function that can be run here, by name: LEGO's own, those of installed packages, and `package.module:NAME`.

Light on purpose: the controller loads NFs, too, and has no use for kernels. An NF's module imports them where it builds bricks.
"""

from __future__ import annotations

import importlib
import pkgutil
from importlib.metadata import EntryPoint, entry_points

import bricks.nfs
from lego_sdn.core.facts.errors import BrickError
from lego_sdn.core.nf.network_function import NetworkFunction

GROUP = "lego.nfs"  # entry points of packages: NAME = package.module:VALUE
VALUE = "NF"  # what a folder in bricks/nfs calls its value


def names() -> tuple[str, ...]:
    """The installed NFs, in alphabetical order; nothing is imported for it."""
    return tuple(sorted({*own(), *(point.name for point in entry_points(group=GROUP))}))


def load(name: str) -> NetworkFunction:
    """An installed NF, or with a colon in the name the value `package.module:NAME`, which runs code of that module.

    Whoever loads with rights that the giver of the name does not have uses `load_installed`. BrickError if there is no such NF.
    """
    module, colon, value = name.partition(":")
    return _value(module, value, name) if colon else load_installed(name)


def load_installed(name: str) -> NetworkFunction:
    """An NF of LEGO's own or of an installed package. BrickError, with those that there are, if there is none of this name."""
    if name in own():
        return _value(f"bricks.nfs.{name}", VALUE, name)
    points = _points(name)
    if not points:
        raise BrickError(f"there is no NF {name!r}; there are {', '.join(names())}, and package.module:NAME for one that is not installed")
    if len(points) > 1:
        places = " and ".join(sorted(point.value for point in points))
        raise BrickError(f"NF {name!r} is registered more than once ({places}); uninstall one of the packages")
    return _value(points[0].module, points[0].attr, name)


def own() -> tuple[str, ...]:
    """LEGO's own NFs: the folders in bricks/nfs."""
    return tuple(module.name for module in pkgutil.iter_modules(bricks.nfs.__path__) if module.ispkg)


def _points(name: str) -> list[EntryPoint]:
    """Entry points of this name, each place once: a package that is on the path twice is one."""
    return list({point.value: point for point in entry_points(group=GROUP, name=name)}.values())


def _value(module: str, value: str, name: str) -> NetworkFunction:
    """The module is somebody else's: whatever it raises becomes one sentence. BrickError."""
    try:
        found = importlib.import_module(module)
        for part in value.split("."):
            found = getattr(found, part)
    except Exception as error:
        raise BrickError(f"NF {name!r}: {module}:{value} cannot be imported ({type(error).__name__}: {error})") from error
    if not isinstance(found, NetworkFunction):
        raise BrickError(f"NF {name!r}: {module}:{value} is no NetworkFunction, but {type(found).__name__}")
    return found
