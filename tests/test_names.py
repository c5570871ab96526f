"""One word has one meaning: a public class name stands for one class."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("lego_sdn", "bricks", "ryu_apps", "topologies")


def test_no_public_class_name_is_used_twice():
    trees = (ast.parse(path.read_text()) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    names = Counter(node.name for tree in trees for node in tree.body if isinstance(node, ast.ClassDef))
    assert sorted(name for name, count in names.items() if count > 1 and not name.startswith("_")) == []
