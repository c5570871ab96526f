"""`lego plan`: what a split of a capture's traffic would do, before it is done, and whether it pays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lego_sdn.commands.numbers import FASTEST, SLOWEST, FiniteRange
from lego_sdn.commands.partial import PARTIAL, end, warn
from lego_sdn.commands.plan_hosts import HostType, OnHosts, on_hosts
from lego_sdn.core.facts.config import STREAMS_MOST
from lego_sdn.core.facts.errors import LegoError
from lego_sdn.core.facts.json_text import json_text
from lego_sdn.core.facts.text import whole_number

if TYPE_CHECKING:
    from lego_sdn.core.cost.model import Costs
    from lego_sdn.core.cost.placement import HostCapacity
    from lego_sdn.core.cost.standby_cost import StandbyCost
    from lego_sdn.core.nf.split_key import SplitKey
    from lego_sdn.core.traffic.split_prediction import Prices, SplitOutcome, TrafficMatrix

BY_HASH, BY_TALK = "hashing", "talkers"
METHODS = (BY_HASH, BY_TALK)
MOST = 64


@dataclass(frozen=True)
class PlanOptions:
    """What the command line asks for."""

    captures: tuple[Path, ...]
    instances: tuple[int, ...]
    model: Path | None
    layout: str | None
    streams: int
    buckets: int
    shadow_cost: float | None
    no_shadow: bool
    method: str | None
    out: Path | None
    hosts: tuple[HostCapacity, ...]
    pps: float | None
    partial: bool = False
    standby: bool = False

    def __post_init__(self) -> None:
        if self.buckets & (self.buckets - 1):
            raise LegoError(f"--buckets: wanted a power of two, found {self.buckets}")
        for count in self.instances:
            if not 1 <= count <= min(MOST, self.buckets):
                raise LegoError(
                    f"--instances: there can be 1 to {min(MOST, self.buckets)} instances of {self.buckets} buckets, not {count}"
                )
        if self.out is not None and len(self.instances) != 1:
            raise LegoError(f"--out writes one assignment: name one number of instances, not {len(self.instances)}")
        names = [host.name for host in self.hosts]
        if len(set(names)) != len(names):
            raise LegoError(f"--host: wanted each host once, found {', '.join(names)}")
        if self.standby and self.model is None:
            raise LegoError("--standby wants --model: what it says rests on the costs that `lego profile CAPTURE --model MODEL` stores")
        if bool(self.hosts) != (self.pps is not None) and (self.hosts or not self.standby):
            raise LegoError("--host and --pps go together: hosts, and the packets/s that are to be taken on them")
        if self.hosts and self.model is None:
            raise LegoError("--host wants --model: what a placement rests on is the costs that `lego profile CAPTURE --model MODEL` stores")


@dataclass(frozen=True)
class PlanBasis:
    """What a plan rests on. key: by what traffic is split; source: where the cost of a shadow is from."""

    layout: str
    key: SplitKey
    costs: Costs | None
    shadow_cost: float
    source: str


@dataclass(frozen=True)
class Planned:
    """One row of the plan: how buckets are assigned, and what comes of it."""

    method: str
    outcome: SplitOutcome


@dataclass(frozen=True)
class PlanFindings:
    """What the captures say, the splits, and where bricks would run if hosts were named."""

    talk: TrafficMatrix
    rows: list[Planned]
    on_hosts: OnHosts | None
    standby: StandbyCost | None = None


def _numbers(_: click.Context, __: click.Parameter, text: str) -> tuple[int, ...]:
    numbers = [number for part in text.split(",") if (number := whole_number(part)) is not None]
    if len(numbers) != len(text.split(",")):
        raise click.BadParameter(f"wanted numbers with commas between, for example 2,4,8; found {text!r}")
    return tuple(dict.fromkeys(numbers))


@click.command("plan", short_help="Predict what a split of a capture's traffic would do, and whether it pays.")
@click.argument("captures", metavar="CAPTURE...", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--instances", default="2,4,8", show_default=True, callback=_numbers, help="Numbers of instances to look at.")
@click.option("--model", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Whose costs, by 'lego profile', are used.")
@click.option("--layout", type=click.Choice(["kitsune115", "kitsunepy100"]), help="Features.  [default: the model's, else kitsune115]")
@click.option(
    "--streams", type=click.IntRange(1024, STREAMS_MOST), default=200_000, show_default=True, help="Bound of an instance's state."
)
@click.option("--buckets", type=click.IntRange(1, 4096), default=64, show_default=True, help="Classes of sources that ownership is about.")
@click.option("--shadow-cost", type=FiniteRange(0, 1), help="Cost of a shadow by that of a packet.  [default: the model's, else 0.25]")
@click.option("--no-shadow", is_flag=True, help="Send no shadows (approximate).")
@click.option("--method", type=click.Choice(METHODS), help="Only this one.  [default: both]")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the assignment with the higher gain, for 'lego move --assignment'.",
)
@click.option("--host", "hosts", type=HostType(), multiple=True, help="Where bricks may run; the first is where packets come. Repeatable.")
@click.option("--pps", type=FiniteRange(SLOWEST, FASTEST), help="Packets/s that are to be taken on these hosts.")
@click.option("--standby", is_flag=True, help="What a standby would cost (--pps: at that rate).")
@PARTIAL
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plan(as_json: bool, **given: Any) -> None:
    """Predict, from CAPTURE (several: one time line), what going from one instance to more would do: load of each, shadows for each packet,
    state to move (as it is at the end of the capture), rule changes, and how much more traffic can be carried.

    "hashing" is what the controller does by itself; "talkers" puts buckets together that talk with each other, by cutting the graph of
    buckets (METIS). A split pays if it brings half of what it would bring if load could be divided at will and copies cost nothing.

    With --host and --pps: where the bricks would run at that rate, by the costs stored with --model; the first host is filled first. Where
    it has no room for everything: both ways to grow onto another host (the whole graph again there, or the overloaded brick), what they
    cost, and which is taken.

    With --standby: CPU and memory of an instance that takes every packet and takes over from one that dies.
    """
    wanted = PlanOptions(**given)
    if wanted.out is not None:
        from lego_sdn.adapters.files import costfile
        from lego_sdn.adapters.files.outputs import output_path

        read = () if wanted.model is None else (wanted.model, costfile.path_of(wanted.model))
        output_path(wanted.out, (*wanted.captures, *read))
    basis = _basis(wanted)
    (talk, warnings), prices, written = _talk(wanted, basis), _prices(wanted, basis), []
    rows = [row for count in wanted.instances for row in _planned(talk, prices, count, wanted.method)]
    found = PlanFindings(talk, rows, _on_hosts(wanted, basis, talk), _standby(wanted, basis))
    if wanted.out is not None:
        from lego_sdn.adapters.files.assignment import write_assignment

        best = max(rows, key=lambda row: row.outcome.gain)
        write_assignment(wanted.out, [owner for owner in best.outcome.owners if owner is not None])
        written.append(f"{wanted.out} has the assignment by {best.method}")
    if as_json:
        click.echo(json_text(_facts(wanted, basis, found)))
    else:
        _show(wanted, basis, found)
        for line in written:
            click.echo(line)
    end(warnings, wanted.partial)


def _basis(wanted: PlanOptions) -> PlanBasis:
    """Costs are of the model; what the command line says of a shadow goes before what was measured."""
    from lego_sdn.adapters.files import costfile
    from lego_sdn.core.cost.capacity import shadow_share
    from lego_sdn.core.traffic.split_prediction import SHADOW_SHARE

    layout, costs = wanted.layout or "kitsune115", None
    if wanted.model is not None:
        from bricks.models.model_file import load_model

        layout, costs = load_model(wanted.model, wanted.layout).layout, costfile.read(wanted.model)
        if costs is None and (wanted.hosts or wanted.standby):
            missing, option = costfile.path_of(wanted.model), "--host" if wanted.hosts else "--standby"
            raise LegoError(f"{option} wants costs, and {missing} is not there; make it with `lego profile CAPTURE --model {wanted.model}`")
    key = _key(wanted, layout)
    if wanted.shadow_cost is not None:
        return PlanBasis(layout, key, costs, wanted.shadow_cost, "--shadow-cost")
    if wanted.model is not None and costs is not None:
        return PlanBasis(layout, key, costs, shadow_share(costs), str(costfile.path_of(wanted.model)))
    return PlanBasis(layout, key, costs, SHADOW_SHARE, "default")


def _key(wanted: PlanOptions, layout: str) -> SplitKey:
    """By what the traffic is split. LegoError if it cannot be."""
    from bricks.nfs.registry import load
    from lego_sdn.core.nf.split_key import split_key

    extractor = load("kitsune").extractor(layout)
    key = split_key(extractor)
    if wanted.no_shadow and key.whole is not None:
        key = split_key(extractor, exact=False)
    key.require(max(wanted.instances), "--instances")
    return key


def _on_hosts(wanted: PlanOptions, basis: PlanBasis, talk: TrafficMatrix) -> OnHosts | None:
    if basis.costs is None or wanted.pps is None or not wanted.hosts:
        return None
    return on_hosts(replace(basis.costs, shadows=0) if wanted.no_shadow else basis.costs, wanted.pps, talk, wanted.hosts)


def _standby(wanted: PlanOptions, basis: PlanBasis) -> StandbyCost | None:
    if not wanted.standby or basis.costs is None:
        return None
    from bricks.feature_quantization import LAYOUTS
    from lego_sdn.core.cost.standby_cost import standby_cost

    return standby_cost(basis.costs, LAYOUTS[basis.layout], wanted.pps)


def _talk(wanted: PlanOptions, basis: PlanBasis) -> tuple[TrafficMatrix, list[str]]:
    """What the captures say of buckets, and warnings, which are said."""
    from bricks.offline.bucket_traffic import Scope, take_census
    from lego_sdn.commands.offline import progress_bar

    with progress_bar("plan") as progress:
        talk, warnings = take_census(wanted.captures, Scope(basis.layout, basis.key, wanted.streams, wanted.buckets), progress)
    warn(warnings)
    return talk, warnings


def _prices(wanted: PlanOptions, basis: PlanBasis) -> Prices:
    from lego_sdn.core.traffic.rule_compiler import RuleOptions
    from lego_sdn.core.traffic.split_prediction import Prices

    return Prices(basis.shadow_cost, RuleOptions(wanted.buckets, not wanted.no_shadow, key=basis.key))


def _planned(talk: TrafficMatrix, prices: Prices, instances: int, method: str | None) -> list[Planned]:
    from lego_sdn.core.traffic.split_prediction import hashing, one_owner, predict

    before = one_owner(talk.buckets)
    rows = []
    if method in (None, BY_HASH):
        rows.append(Planned(BY_HASH, predict(talk, (before, hashing(talk, instances)), instances, prices)))
    if method in (None, BY_TALK):
        rows.append(Planned(BY_TALK, max(_cuts(talk, prices, instances), key=lambda outcome: outcome.gain)))
    return rows


def _cuts(talk: TrafficMatrix, prices: Prices, instances: int) -> list[SplitOutcome]:
    from lego_sdn.adapters.files.metis import partition
    from lego_sdn.core.traffic.split_prediction import graph, one_owner, predict, talkers

    return [
        predict(talk, (one_owner(talk.buckets), talkers(parts, talk)), instances, prices) for parts in partition(*graph(talk), instances)
    ]


def _facts(wanted: PlanOptions, basis: PlanBasis, found: PlanFindings) -> dict[str, Any]:
    from dataclasses import asdict

    from lego_sdn.commands.plan_hosts import facts

    talk, rows = found.talk, found.rows
    shown = [
        {"method": row.method, "instances": row.outcome.ideal}
        | asdict(row.outcome)
        | {"pays": row.outcome.pays, "verdict": row.outcome.verdict}
        for row in rows
    ]
    about = {"layout": basis.layout, "key": basis.key.as_dict(), "shadow_cost": basis.shadow_cost, "shadow_cost_from": basis.source}
    placed = {} if found.on_hosts is None else facts(found.on_hosts)
    if found.standby is not None:
        placed["standby"] = asdict(found.standby)
    return {"packets": talk.total, "buckets": talk.buckets} | about | {"plans": shown} | placed


def _show(wanted: PlanOptions, basis: PlanBasis, found: PlanFindings) -> None:
    from lego_sdn.adapters.terminal.tables import Grid, open_console
    from lego_sdn.commands.plan_hosts import show

    talk, rows = found.talk, found.rows
    names = ("instances", "by", "load of each, of one's", "shadows a packet", "buckets moved", "state to move", "rules", "gain", "")
    title = f"{talk.total:,} packets, from one instance to more"
    table = Grid(*names, title=title, left=("by", "load of each, of one's", ""), keys=2)
    for row in rows:
        outcome = row.outcome
        loads = " ".join(f"{share.load:.0%}" for share in outcome.shares)
        state = "not known" if outcome.streams is None else f"{outcome.streams:,} streams, {outcome.state_bytes:,} B"
        rules = f"+{outcome.rules_added} -{outcome.rules_deleted}"
        cells = (str(outcome.ideal), row.method, loads, f"{outcome.shadows:.3f}", str(outcome.moved), state, rules)
        table.add_row(*cells, f"{outcome.gain:.2f}", "pays" if outcome.pays else "does not pay")
    console = open_console()
    console.print(table)
    for row in rows:
        if not row.outcome.pays:
            console.print(f"{row.outcome.ideal} instances by {row.method}: {row.outcome.verdict}", soft_wrap=True)
    sent = ", of which none are sent" if wanted.no_shadow and basis.key.shadows else ""
    console.print(f"split by {basis.key}{sent}", soft_wrap=True)
    console.print(f"a shadow costs {basis.shadow_cost:.2f} of a packet ({basis.source})", soft_wrap=True)
    if found.standby is not None:
        console.print(_standby_words(found.standby), soft_wrap=True)
    if found.on_hosts is not None:
        show(console, found.on_hosts, wanted.hosts[0].name)


def _standby_words(cost: StandbyCost) -> str:
    at_rate = "" if cost.cores is None else f", {cost.cores:.2f} cores at {cost.packets_per_s:,.0f} packets/s"
    memory = f"{cost.memory_bytes / 1e6:,.0f} MB of memory, of it {cost.kept_bytes / 1e6:,.0f} MB for features of packets not scored yet"
    return f"a standby: {cost.packet_us:.1f} us of CPU for each packet, {cost.share:.2f} of one that is scored{at_rate}; {memory}"
