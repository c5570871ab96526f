"""The executable definition of the 115 statistics with powers of our own: all else can then be compared bit for bit."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace


class _Powers(ast.NodeTransformer):
    """`2.0 ** x` becomes `_fade(x)`, `x ** 2` becomes `_square(x)`."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.op, ast.Pow):
            return node
        name, of = ("_fade", node.right) if isinstance(node.left, ast.Constant) else ("_square", node.left)
        return ast.copy_location(ast.Call(ast.Name(name, ast.Load()), [of], []), node)


def definition_with(file: str, fade: Callable[[float], float]) -> SimpleNamespace:
    """The module of the definition, with `fade(x)` for `2.0 ** x`, and for `x ** 2` the nearest number, which libm's pow may miss."""
    tree = ast.fix_missing_locations(_Powers().visit(ast.parse(Path(file).read_text(encoding="utf8"))))
    names = {"_fade": fade, "_square": lambda x: x * x, "__name__": "definition"}
    exec(compile(tree, file, "exec"), names)
    return SimpleNamespace(**names)
