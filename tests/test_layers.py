"""Who may import whom: packages, folders and files; and no package imports a foreign library that is not its own."""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = {"lego_sdn", "bricks", "ryu_apps", "topologies"}
ANY = "any foreign library"

# What each package may import of the others, and which foreign libraries. The longest path that fits a file decides.
CONTROLLER = {"lego_sdn.core", "lego_sdn.adapters", "ryu_apps", "ryu", "eventlet", "prometheus_client"}
CONTROLLER |= {"bricks.nfs.registry"}  # for an NF's graph and declaration; tests/bricks/nfs/test_registry.py: it brings no kernels
OFFLINE = {"lego_sdn", "bricks", "topologies", "numpy"}
SHOWN = OFFLINE | {"click", "rich"}
BRICKS = {
    "lego_sdn.core",
    "lego_sdn.adapters.rpc.calls",
    "lego_sdn.adapters.linux.owned",
    "lego_sdn.adapters.linux.logs",
    "lego_sdn.adapters.eve",
    "bricks",
    "numpy",
    "msgpack",
}
MAY_IMPORT: dict[str, set[str]] = {
    "lego_sdn/core": {"lego_sdn.core"},
    "lego_sdn/adapters": {"lego_sdn.core", "lego_sdn.adapters", ANY},
    "bricks": BRICKS,
    "bricks/kernels": BRICKS | {"numba", "llvmlite"},
    "bricks/offline": BRICKS | {"numba"},
    "bricks/learning": BRICKS | {"scipy", "sklearn"},
    "ryu_apps": CONTROLLER,
    "lego_sdn/app.py": CONTROLLER,
    "lego_sdn": OFFLINE,
    "lego_sdn/cli.py": SHOWN,
    "lego_sdn/commands": SHOWN,
    "lego_sdn/experiments/bench": OFFLINE | {"rich", "numba", "llvmlite"},
    "lego_sdn/experiments/paper": OFFLINE | {"rich", "matplotlib"},
    "lego_sdn/ryu_compat.py": {ANY},  # mends Ryu's imports before Ryu is there
    "topologies": {"lego_sdn.core", "topologies", "mininet", "numpy"},
}
# Folders from the ground up: a file imports from its own folder and from folders that stand before it.
FLOORS = (
    *(f"lego_sdn/core/{name}" for name in ("facts", "nf", "traffic", "cost", "observe", "policy", "control")),
    *(f"lego_sdn/adapters/{name}" for name in ("linux", "ovs", "rpc", "files", "terminal", "eve")),
    "topologies",
    "bricks/records",
    "bricks/kernels",
    *(f"bricks/kernels/{name}" for name in ("streams", "parse", "kitsune", "kitnet", "transport", "network", "doshi")),
    "bricks/models",
    "bricks",  # the bricks themselves
    *(
        f"bricks/{name}"
        for name in (
            "learning",
            "explanation",
            "alerts",
            "nfs",
            "nfs/kitsune",
            "nfs/doshi",
            "streams",
            "transport",
            "capture",
            "files",
            "runtime",
            "service",
            "offline",
        )
    ),
    *(f"ryu_apps/{name}" for name in ("doors", "context", "openflow", "handover", "views", "apps")),
    *(
        f"lego_sdn/{name}"
        for name in ("agent", "system", "watch", "profile", "simulation", "experiments", "experiments/bench", "experiments/paper")
    ),
    "lego_sdn/commands",
    "lego_sdn",  # what is started by name
)
RYU = {"ryu", "eventlet", "ryu_apps", "lego_sdn.app"}  # patched by eventlet: nobody else may share a process with them
IMPURE = {"asyncio", "io", "logging", "os", "pathlib", "random", "secrets", "shutil", "socket", "subprocess", "tempfile"}
IMPURE |= {"threading", "time"}


def files() -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for package in OURS for path in (ROOT / package).rglob("*.py"))


def rule_of(path: str) -> str:
    return max((rule for rule in MAY_IMPORT if path == rule or path.startswith(f"{rule}/")), key=len)


def imports(source: str) -> set[str]:
    """Modules that a file names in its imports, wherever they stand; `from a import b` counts as a.b where a is one of ours."""
    tree, found = ast.parse(source), set()
    texts = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Call) and _called(node.func) in ("import_module", "find_spec", "__import__") and node.args:
            argument = node.args[0]
            beginning = _beginning(texts.get(argument.id) if isinstance(argument, ast.Name) else argument)
            found |= {beginning.rstrip(".")} if beginning else set()
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            module = node.module or ""
            found |= {f"{module}.{alias.name}" for alias in node.names} if module.split(".")[0] in OURS else {module}
    return found


def _called(function: ast.expr) -> str:
    """The last part of a called name."""
    return function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""


def _beginning(text: ast.expr | None) -> str:
    """The part of a text that stands in the source, from its beginning: "bricks.nfs." of f"bricks.nfs.{name}"."""
    while isinstance(text, (ast.BinOp, ast.JoinedStr)):
        text = text.left if isinstance(text, ast.BinOp) else text.values[0]
    return text.value if isinstance(text, ast.Constant) and isinstance(text.value, str) else ""


@functools.cache
def imports_of(path: str) -> frozenset[str]:
    """The same, of a file of ours."""
    return frozenset(imports((ROOT / path).read_text()))


def covered(module: str, names: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


def offences(path: str, modules: Iterable[str]) -> list[str]:
    """Of the modules that the file of this path imports, those that it may not import."""
    rule = rule_of(path)
    wrong = []
    for module in sorted(modules):
        top = module.split(".")[0]
        stdlib = top in sys.stdlib_module_names
        foreign = not stdlib and top not in OURS
        allowed = stdlib or module == "lego_sdn.__version__" or covered(module, MAY_IMPORT[rule]) or (foreign and ANY in MAY_IMPORT[rule])
        if not allowed or (MAY_IMPORT[rule] >= OFFLINE and covered(module, RYU)) or (rule == "lego_sdn/core" and top in IMPURE):
            wrong.append(module)
    return wrong


@pytest.mark.parametrize("package", sorted(OURS))
def test_imports_follow_the_arrows(package):
    paths = [path for path in files() if path.startswith(f"{package}/")]
    assert paths
    assert {path: wrong for path in paths if (wrong := offences(path, imports_of(path)))} == {}


def module_of(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def arrows() -> dict[str, set[str]]:
    """Our files by the module that each is, and those that it imports."""
    modules = {module_of(path): path for path in files()}
    found = {}
    for module, path in modules.items():
        found[module] = {one if one in modules else one.rpartition(".")[0] for one in imports_of(path)} & set(modules) - {
            module,
            "lego_sdn",
        }
    return found


def folder_of(module: str) -> str:
    path = module.replace(".", "/")
    return path if (ROOT / path / "__init__.py").exists() else path.rpartition("/")[0]


def test_every_folder_has_a_floor():
    packages = {"lego_sdn/core", "lego_sdn/adapters", "ryu_apps"}  # which hold folders only
    assert {folder_of(module) for module in arrows()} - packages == set(FLOORS)


def test_folders_import_downwards_only():
    upwards = [
        f"{module} imports {target}"
        for module, targets in arrows().items()
        for target in targets
        if folder_of(module) in FLOORS and folder_of(target) in FLOORS
        if FLOORS.index(folder_of(target)) > FLOORS.index(folder_of(module))
    ]
    assert upwards == []


def test_no_circle_of_files():
    left = arrows()
    while ends := [module for module, targets in left.items() if not targets & set(left)]:
        for module in ends:
            del left[module]
    assert sorted(left) == [], "each of these imports, directly or not, a file that imports it"


def test_an_adapter_knows_one_foreign_library():
    for path in (ROOT / "lego_sdn/adapters").rglob("*.py"):
        foreign = {m.split(".")[0] for m in imports_of(str(path.relative_to(ROOT)))} - set(sys.stdlib_module_names) - OURS
        assert len(foreign) <= 1, f"{path.name} imports {sorted(foreign)}"


@pytest.mark.parametrize(
    ("path", "source", "wrong"),
    [
        ("lego_sdn/core/x.py", "import numpy", ["numpy"]),
        ("lego_sdn/core/x.py", "def f():\n    import time", ["time"]),
        ("lego_sdn/core/x.py", "from bricks.records import packets", ["bricks.records.packets"]),
        ("lego_sdn/core/x.py", "from lego_sdn.adapters import rpc", ["lego_sdn.adapters.rpc"]),
        ("lego_sdn/core/x.py", "from lego_sdn.core.facts import assignment", []),
        ("lego_sdn/agent/server.py", "import ryu.base", ["ryu.base"]),
        ("lego_sdn/commands/x.py", "from lego_sdn import app", ["lego_sdn.app"]),
        ("lego_sdn/app.py", "import ryu.base", []),
        ("lego_sdn/app.py", "import bricks.records.brick", ["bricks.records.brick"]),
        ("bricks/x.py", "from lego_sdn.adapters.linux import netns", ["lego_sdn.adapters.linux.netns"]),
        ("bricks/x.py", "from lego_sdn.adapters.rpc.calls import Server", []),
        ("topologies/x.py", "import ryu", ["ryu"]),
        ("ryu_apps/x.py", "from bricks.nfs.registry import load", []),
        ("ryu_apps/x.py", "from bricks.nfs.kitsune import NF", ["bricks.nfs.kitsune.NF"]),
        ("ryu_apps/x.py", "import importlib\nimportlib.import_module(f'bricks.nfs.{nf}')", ["bricks.nfs"]),
        ("ryu_apps/x.py", "from importlib import import_module\nimport_module('bricks.' + nf)", ["bricks"]),
        ("ryu_apps/x.py", "import importlib.util\nname = f'bricks.{nf}'\nimportlib.util.find_spec(name)", ["bricks"]),
        ("lego_sdn/core/x.py", "__import__('time')", ["time"]),
        ("lego_sdn/adapters/x.py", "import importlib\nimportlib.import_module(name)", []),
    ],
)
def test_the_walk_finds_what_is_forbidden(path, source, wrong):
    assert offences(path, imports(source)) == wrong
