"""`lego nf`: the network functions that can be run here, and what one of them declares."""

from __future__ import annotations

from typing import Any

import click

from lego_sdn.core.facts.json_text import json_text


@click.group("nf")
def nf() -> None:
    """Network functions: LEGO's own and those of installed packages."""


@nf.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_nfs(as_json: bool) -> None:
    """Name every NF and its graph; of one that cannot be loaded, why."""
    from bricks.nfs import registry
    from lego_sdn.core.facts.errors import LegoError

    rows: list[dict[str, Any]] = []
    for name in registry.names():
        try:
            rows.append({"nf": name, "graph": str(registry.load_installed(name).graph), "error": None})
        except LegoError as error:
            rows.append({"nf": name, "graph": None, "error": str(error)})
    if as_json:
        click.echo(json_text(rows, indent=2))
        return
    for row in rows:
        _say(f"{row['nf']}: {row['graph'] or row['error']}")


@nf.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(name: str, as_json: bool) -> None:
    """Show the graph of an NF, its header groups and Algorithm 1's result. NAME: as in `list`, or package.module:NAME."""
    from bricks.nfs.registry import load

    function = load(name)
    layouts = [_layout(extractor) for extractor in function.extractors.values()]
    told = {"nf": function.name, "graph": function.graph.to_dict(), "models": sorted(function.models), "learns": function.learn is not None}
    if as_json:
        click.echo(json_text(told | {"layouts": layouts}, indent=2))
        return
    _say(f"{function.name}: {function.graph}")
    for node in function.graph.nodes:
        notes = [f"kind {node.kind}"] * (node.kind != node.id) + ["keyed"] * node.keyed + ["has a model"] * (node.id in function.models)
        _say(f"  {node.id}" + (f" ({', '.join(notes)})" if notes else ""))
    for layout in layouts:
        result = ", ".join(layout["result"])
        split = f"split by {result}" if layout["clean"] else f"{result} lie within no other: not to be split cleanly by one key"
        _say(f"layout {layout['layout']}: {layout['features']} features in {', '.join(layout['groups'])}; Algorithm 1: {split}")


def _say(line: str) -> None:
    """A line; on a terminal it is broken between words."""
    from rich.text import Text

    from lego_sdn.adapters.terminal.tables import open_console

    open_console().print(Text(line))


def _layout(extractor: Any) -> dict[str, Any]:
    from lego_sdn.core.nf.granularity import algorithm_1

    result = algorithm_1(extractor.groups)
    return {
        "layout": extractor.name,
        "features": len(extractor.features),
        "groups": [group.name for group in extractor.groups],
        "result": [group.name for group in result],
        "clean": len(result) == 1,
    }
