"""Tests go through what the product offers: they patch no clock, read no private attribute of it, and replace fewer of its functions."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CLOCKS = {"time", "monotonic", "monotonic_ns", "time_ns", "thread_time", "perf_counter", "perf_counter_ns", "sleep", "clock", "datetime"}
PATCHES = {"setattr", "patch", "object", "dict", "multiple"}  # of pytest's monkeypatch and unittest.mock
NAMED_TUPLE = {"_replace", "_asdict", "_fields", "_make", "_field_defaults"}
FOREIGN = {"_exit"}  # of `os`: how a forked child ends

# What is left, by file: it may only get less.
LEFT: dict[str, set[str]] = {
    "tests/system/test_local.py": {"_waitpid_lock"},  # of Python's subprocess: it is in the state that a signal's handler leaves
}
# Files that still replace a function or a constant of a module, and how often: what is new takes it as an argument.
REPLACING = {
    "tests/adapters/ovs/test_vsctl.py": 5,
    "tests/agent/test_cleanup.py": 1,
    "tests/agent/test_launcher.py": 1,
    "tests/bricks/offline/test_parallel.py": 8,
    "tests/commands/test_bench.py": 5,
    "tests/commands/test_offline.py": 1,
    "tests/commands/test_paper_policies.py": 1,
    "tests/live/test_other_keys.py": 2,
    "tests/live/test_two_keys.py": 2,
}


def offences(source: str) -> set[str]:
    """Clocks that are patched and private attributes of others that are read or patched."""
    tree, found = ast.parse(source), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_private(node.attr) and not _is_own(node.value):
            found.add(node.attr)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name) and _called(node.func) in PATCHES:
            texts = [one.value for one in node.args[:2] if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            parts = [part for text in texts for part in text.split(".")]
            found |= {part for part in parts if part in CLOCKS or _is_private(part)}
    return found


def replacements(source: str) -> int:
    """Calls of pytest's or mock's that put something else into a module or a class for a while."""
    calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    return sum(ast.unparse(one).endswith(("monkeypatch.setattr", "mock.patch", "patch.object", "patch.multiple")) for one in calls)


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in NAMED_TUPLE | FOREIGN


def _is_own(value: ast.expr) -> bool:
    """`self._x`, `cls._x` and `super()._x`: of a class that the test itself writes."""
    return (isinstance(value, ast.Name) and value.id in ("self", "cls")) or (isinstance(value, ast.Call) and _called(value.func) == "super")


def _called(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""


def written() -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("*.py"))


def test_no_test_patches_a_clock_or_reads_a_private_attribute():
    found = {path: offences((ROOT / path).read_text()) for path in written()}
    assert {path: names for path, names in found.items() if names} == LEFT


def test_no_more_is_replaced_than_before():
    found = {path: replacements((ROOT / path).read_text()) for path in written()}
    assert {path: count for path, count in found.items() if count > REPLACING.get(path, 0)} == {}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("monkeypatch.setattr(meter, 'time', clock)", {"time"}),
        ("monkeypatch.setattr('lego_sdn.adapters.linux.pace.time', clock)", {"time"}),
        ("monkeypatch.setattr(time, 'sleep', id)", {"sleep"}),
        ("with mock.patch('time.monotonic'): pass", {"time", "monotonic"}),
        ("with patch.object(module.time, 'time_ns', lambda: 3): pass", {"time_ns"}),
        ("monkeypatch.setattr(world, '_do', f)", {"_do"}),
        ("assert server._peers == set()", {"_peers"}),
        ("made.lab._answers()", {"_answers"}),
        ("app._knows_of = print", {"_knows_of"}),
        ("class A:\n    def f(self):\n        return self._x + super()._x", set()),
        ("cut._replace(key=1)\nos._exit(0)\nmonkeypatch.setattr(store, 'KEPT', 5)\nmonkeypatch.setenv('time', 'x')", set()),
    ],
)
def test_the_walk_finds_what_is_not_wanted(source, names):
    assert offences(source) == names


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("monkeypatch.setattr(store, 'KEPT', 5)\nmonkeypatch.setenv('A', 'b')", 1),
        ("with mock.patch.object(sys, 'argv', []), mock.patch('a.b'):\n    setattr(a, 'b', 1)", 2),
    ],
)
def test_replacements_are_counted(source, count):
    assert replacements(source) == count
