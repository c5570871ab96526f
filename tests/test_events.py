"""Events are types with fields. No program reads the sentence of one: it is made for people, and may be worded anew."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import json
from pathlib import Path
from typing import get_args

import pytest

from lego_sdn.core.facts import change_notes, instance_notes
from lego_sdn.core.facts.actions import WORDS
from lego_sdn.core.facts.notes import KINDS, Note, Notice

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("lego_sdn", "ryu_apps", "bricks", "topologies")
SEARCHES = {
    "startswith",
    "endswith",
    "find",
    "index",
    "count",
    "split",
    "partition",
    "rpartition",
    "match",
    "search",
    "fullmatch",
    "findall",
}
EVENTS = {"event", "note", "one", "entry", "action"}  # what code calls an event or a note


def is_text(node: ast.AST) -> bool:
    """Whether it is an event's sentence, `event["text"]`, `event.get("text")`, `note.text` or `str(note)`, or one that is made of it."""
    if isinstance(node, ast.Subscript):
        return (isinstance(node.slice, ast.Constant) and node.slice.value == "text") or is_text(node.value)
    if isinstance(node, ast.Attribute):
        return node.attr == "text" and isinstance(node.value, ast.Name) and node.value.id in EVENTS
    if isinstance(node, ast.Call):
        function, first = node.func, node.args[0] if node.args else None
        if isinstance(function, ast.Attribute):
            asked = function.attr == "get" and isinstance(first, ast.Constant) and first.value == "text"
            return asked or (function.attr in ("lower", "upper", "strip", "casefold") and is_text(function.value))
        return isinstance(function, ast.Name) and function.id == "str" and isinstance(first, ast.Name) and first.id in ("event", "note")
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.FormattedValue) and is_text(part.value) for part in node.values)
    return False


def readings(source: str) -> list[int]:
    """Lines on which an event's sentence, or a name that was given to one, is compared or searched."""
    found, tree = [], ast.parse(source)
    names = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.NamedExpr) and is_text(node.value)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }

    def reads_text(node: ast.AST) -> bool:
        return is_text(node) or (isinstance(node, ast.Name) and node.id in names)

    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            reads = any(reads_text(one) for one in (node.left, *node.comparators))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SEARCHES:
            reads = reads_text(node.func.value) or any(reads_text(one) for one in node.args)
        else:
            reads = False
        if reads:
            found.append(node.lineno)
    return found


@pytest.mark.parametrize("package", PRODUCT)
def test_no_program_reads_the_sentence_of_an_event(package):
    paths = (ROOT / package).rglob("*.py")
    assert {str(path.relative_to(ROOT)): lines for path in paths if (lines := readings(path.read_text()))} == {}


@pytest.mark.parametrize(
    "source",
    [
        "'failed' in event['text']",
        "f'instance {n} failed:' in one['text']",
        "event['text'].startswith('x')",
        "note.text == 'x'",
        "re.search('x', note.text)",
        "any('x' in e.get('text') for e in events)",
        "f\"{one['kind']}: {one['text']}\".startswith('x')",
        "'x' in event['text'].lower()",
        "event['text'].partition(': ')",
        "'x' in str(note)",
        "said = event['text']; told = 'x' in said",
    ],
)
def test_the_walk_finds_who_reads(source):
    assert readings(source) == [1]


def types() -> list[type[Note]]:
    """Every type of event of the product."""
    modules = [instance_notes, change_notes]
    return [one for made in modules for one in vars(made).values() if isinstance(one, type) and issubclass(one, Note) and one is not Note]


def example(cls: type[Note]) -> Note:
    """One of this type, with a value of the right sort for each field."""
    values = {"str": "x", "int": 1, "float": 1.5, "bool": True, "Kind": "move", "tuple[str, ...]": ("x",), "tuple[int, ...]": (1, 2)}
    given = {}
    for one in dataclasses.fields(cls):
        if one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING:
            kind = str(one.type)
            given[one.name] = values[kind] if kind in values else values.get(kind.partition(" | ")[0], "connected")
    return cls(**given, instance=1)


@pytest.mark.parametrize("cls", types())
def test_every_type_has_a_kind_a_sentence_and_plain_fields(cls):
    note = example(cls)
    assert note.kind in KINDS
    assert note.type == cls.__name__
    assert str(note) == note.text != ""
    assert json.loads(json.dumps(note.fields(), allow_nan=False)).keys() == note.fields().keys()
    assert not {"kind", "instance", "sentence", "text"} & note.fields().keys()
    assert getattr(importlib.import_module(cls.__module__), note.type) is cls


def test_kinds_are_a_closed_set():
    with pytest.raises(ValueError, match="'nonsense' is no kind of event; there are adopted, "):
        Notice("nonsense", "x")  # type: ignore[arg-type]
    assert set(WORDS.values()) <= KINDS
    from lego_sdn.core.control.state import Change

    (kind,) = [one for one in dataclasses.fields(Change) if one.name == "kind"]
    assert set(get_args(eval(str(kind.type), {"Literal": __import__("typing").Literal}))) <= KINDS
