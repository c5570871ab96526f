"""`lego granularity`: by which header group an NF's traffic may be split, with which shadows, and what is then exact."""

from __future__ import annotations

from typing import Any

import click

from lego_sdn.core.facts.json_text import json_text


@click.command("granularity", short_help="Show by which header group an NF's traffic may be split.")
@click.option("--nf", default="kitsune", show_default=True, help="Network function.")
@click.option("--layout", default=None, help="Only this feature layout of the NF.")
@click.option("--by", "by", default=None, help="Plan a split by this header group instead of Algorithm 1's result.")
@click.option("--assume", multiple=True, help="Rely on an assumption that the extractor names; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def granularity(nf: str, layout: str | None, by: str | None, assume: tuple[str, ...], as_json: bool) -> None:
    """Show an NF's header groups, Algorithm 1's result, the split plan with its shadows, and what stays exact."""
    from bricks.nfs.registry import load

    extractors = dict(load(nf).extractors)
    if layout is not None:
        extractors = {layout: _pick(extractors, layout, f"layout of {nf}")}
    for name in assume:
        _pick({a.name: a for extractor in extractors.values() for a in extractor.assumptions}, name, "assumption")
    found = [_describe(extractor, by, assume) for extractor in extractors.values()]
    if as_json:
        click.echo(json_text({"nf": nf, "layouts": found}, indent=2))
        return
    for layout_found in found:
        _show(nf, layout_found)


def _pick(choices: dict[str, Any], name: str, what: str) -> Any:
    from lego_sdn.core.facts.errors import ConfigError

    if name not in choices:
        raise ConfigError(f"unknown {what}: {name!r}; there are {', '.join(sorted(choices))}")
    return choices[name]


def _describe(extractor: Any, by: str | None, assume: tuple[str, ...]) -> dict[str, Any]:
    from lego_sdn.core.facts.headers import GROUPS, within
    from lego_sdn.core.nf.granularity import algorithm_1, split_plan
    from lego_sdn.core.nf.split_key import split_key

    groups = extractor.groups
    result = algorithm_1(groups)
    assume = tuple(a.name for a in extractor.assumptions if a.name in assume)
    chosen = (_pick(GROUPS, by, "header group"),) if by else result
    relations = [[a.name, b.name] for a in groups for b in groups if a is not b and within(a, b)]
    return {
        "layout": extractor.name,
        "features": len(extractor.features),
        "groups": [{"name": g.name, "fields": sorted(g.fields), "statistics": _statistics(extractor, g)} for g in groups],
        "within": relations,
        "result": [g.name for g in result],
        "clean": len(result) == 1,
        "assumptions": [{"name": a.name, "sentence": a.sentence, "used": a.name in assume} for a in extractor.assumptions],
        "plans": [_plan(split_plan(extractor, g, assume)) for g in chosen],
        "key": split_key(extractor, by=GROUPS[by] if by else None).as_dict(),
    }


def _statistics(extractor: Any, group: Any) -> list[str]:
    return [s.name for s in extractor.statistics if s.group == group and s.features]


def _plan(plan: Any) -> dict[str, Any]:
    return {
        "granularity": plan.granularity.name,
        "shadows": [{"to_owner_of": list(target), "sentence": plan.spell(target)} for target in plan.shadows],
        "reads": [
            {
                "statistic": verdict.read.statistic,
                "links": sorted([mine, theirs] for mine, theirs in verdict.read.links),
                "copies": verdict.copies.value,
                "rounding_only": verdict.read.rounding,
                "to_owner_of": list(verdict.target),
            }
            for verdict in plan.verdicts
        ],
        "deliveries_per_packet": {str(n): round(plan.deliveries(n), 3) for n in (2, 3, 4, 8)},
        "exact_without_copies": list(plan.alone),
        "exact": list(plan.exact),
        "exact_but_for_rounding": list(plan.rounding),
        "approximate": list(plan.approximate),
    }


def _show(nf: str, found: dict[str, Any]) -> None:
    from lego_sdn.adapters.terminal.tables import Grid, open_console

    names = ("header group", "fields", "statistics", "lies within")
    console, table = open_console(), Grid(*names, title=f"{nf}, {found['layout']}: {found['features']} features", left=names)
    for group in found["groups"]:
        outer = [b for a, b in found["within"] if a == group["name"]]
        table.add_row(group["name"], ", ".join(group["fields"]), ", ".join(group["statistics"]), ", ".join(outer) or "none")
    console.print(table)
    names = ", ".join(found["result"])
    outcome = f"split by {names}" if found["clean"] else f"{names} lie within no other: the traffic cannot be split cleanly"
    console.print(f"Algorithm 1: [bold]{outcome}[/bold]")
    for plan in found["plans"]:
        _show_plan(console, plan, found["features"])
    key = found["key"]
    price = "; ".join(
        f"{deliveries:.2f} deliveries per packet at {n} instances" for n, deliveries in key["deliveries_per_packet"].items() if n == "3"
    )
    console.print(f"Carried out with exact: true: [bold]{key['sentence']}[/bold]" + (f"; {price}" if price else ""), soft_wrap=True)
    for assumption in found["assumptions"]:
        console.print(f"Assumption {assumption['name']} ({'used' if assumption['used'] else 'not used'}): {assumption['sentence']}.")
    console.print()


def _show_plan(console: Any, plan: dict[str, Any], features: int) -> None:
    from lego_sdn.adapters.terminal.tables import Grid

    names = ("a packet reads", "written by packets with", "which are copied")
    table = Grid(*names, title=f"Split by {plan['granularity']}", left=names)
    for (links, where), statistics in _rows(plan).items():
        table.add_row(", ".join(statistics), links, where)
    console.print(table)
    shadows = "; ".join(shadow["sentence"] for shadow in plan["shadows"]) or "none"
    console.print(
        f"Shadows: {shadows}. Deliveries per packet at 3 instances: {plan['deliveries_per_packet']['3']:.2f} (even destinations)."
    )
    parts = {"exact_without_copies": "exact without copies", "exact": "[bold]exact with shadows[/bold]"}
    parts |= {"exact_but_for_rounding": "exact but for rounding", "approximate": "approximate"}
    console.print(f"Of {features} features: " + ", ".join(f"{len(plan[key])} {words}" for key, words in parts.items()) + ".")


def _rows(plan: dict[str, Any]) -> dict[tuple[str, str], list[str]]:
    """(links, destination of copies) in words -> the statistics read that way."""
    rows: dict[tuple[str, str], list[str]] = {}
    words = {"own": "nowhere: same owner", "all": "to every instance, else approximate"}
    sentences = {tuple(shadow["to_owner_of"]): shadow["sentence"] for shadow in plan["shadows"]}
    for read in plan["reads"]:
        target = tuple(read["to_owner_of"])
        where = words.get(read["copies"]) or "to " + sentences.get(target, "the owner of " + ", ".join(target))
        where += " (rounding only)" if read["rounding_only"] else ""
        rows.setdefault((_words(read["links"]), where), []).append(read["statistic"])
    return rows


def _words(links: list[list[str]]) -> str:
    """Links of a read, the reader's field first."""
    same = [mine for mine, theirs in links if mine == theirs]
    other = [f"their {theirs} = my {mine}" for mine, theirs in links if mine != theirs]
    return ", ".join([*(["the same " + ", ".join(same)] if same else []), *other]) or "any packet at all"
