"""The bench on a terminal: a line for each row as it is known, then the cost model."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from lego_sdn.adapters.terminal.tables import Grid
from lego_sdn.experiments.bench.rows import Result

_COLORS = {"aim": "green", "at least": "yellow", "below": "red"}
_WIDTHS = (24, 13, 27, 13, 13, 13, 22)  # of the columns
_HEADS = ("row", "median", "min .. max", "by CPU time", "at least", "aim", "reached")


class Show:
    """Prints; columns have fixed widths, since rows come one by one. Where they do not fit, each figure stands behind its name."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._fits = sum(_WIDTHS) + len(_WIDTHS) < console.width

    def machine(self, machine: dict[str, Any], traffic: str) -> None:
        cpu = f"{machine['cpu']} at {machine['mhz']:,.0f} MHz{', virtual' if machine['hypervisor'] else ''}, {machine['cores']} cores"
        rest = f"{machine['memory_gb']:g} GB, Linux {machine['kernel']}"
        self.console.print(f"{cpu}, {rest}", highlight=False, soft_wrap=True)
        versions = ", ".join(f"{name} {machine[name]}" for name in ("python", "numba", "numpy"))
        self.console.print(f"{versions}; load before: {machine['load']:g}; {traffic}", highlight=False, soft_wrap=True)
        if self._fits:
            self.console.print(_line(_HEADS), style="bold", soft_wrap=True)

    def result(self, result: Result) -> None:
        """One line of figures, and what is behind them."""
        row = result.row
        if result.value is None:
            why = f"skipped: {result.skipped}" if result.skipped else f"failed: {result.failed}"
            self.console.print(Text(_line((row.name,)) + why, style="dim" if result.skipped else "red"), soft_wrap=True)
            return
        sign = "<= " if row.fewer else ""
        cells = [row.name, number(result.value), f"{number(min(result.runs))} .. {number(max(result.runs))}"]
        cells += [number(result.cpu_value) if result.cpu_value is not None else ""]
        cells += [sign + number(target) if target is not None else "" for target in (row.least, row.aim)]
        line = Text(_line(cells) if self._fits else _named(cells))
        line.append(result.verdict, style=_COLORS.get(result.verdict.split(",")[0], ""))
        self.console.print(line, soft_wrap=self._fits)
        told = f"  {row.what} [{row.unit}]" + (f"; {result.note}" if result.note else "")
        self.console.print(Text(told, style="dim"))

    def cost(self, results: list[Result]) -> None:
        """Measured against the limit; the largest quotient is where the next gain is."""
        known = [result for result in results if "limit" in result.detail]
        if not known:
            return
        names = ("stage", "measured", "limit", "measured / limit", "what the limit is made of")
        table = Grid(*names, title="Cost model, ns of CPU per packet", left=("stage", "what the limit is made of"))
        for result in known:
            assert result.value is not None
            limit = result.detail["limit"]
            parts = sorted(result.detail["parts"].items(), key=lambda item: -item[1])
            made_of = ", ".join(f"{kind.replace('_', ' ')} {number(ns)}" for kind, ns in parts)
            table.add_row(result.row.name, number(result.value), number(limit), f"{result.value / limit:.1f}", made_of)
        self.console.print(table)


def _line(cells: tuple[str, ...] | list[str]) -> str:
    """Cells in columns: names to the left, figures to the right."""
    padded = [f"{cell:<{width}}" if at == 0 else f"{cell:>{width}}" for at, (cell, width) in enumerate(zip(cells, _WIDTHS, strict=False))]
    return "".join(padded[:1] + [f" {cell}" for cell in padded[1:]]) + "  "


def _named(cells: list[str]) -> str:
    """Cells with the names of their columns, without those that are empty."""
    told = [f"{name} {cell}" for name, cell in zip(_HEADS[1:], cells[1:], strict=False) if cell]
    return f"{cells[0]}: " + ", ".join(told) + ", "


def number(value: float) -> str:
    """Three digits that matter, or whole thousands."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) < 0.001:
        return f"{value:.1e}"
    return f"{value:.3g}"
