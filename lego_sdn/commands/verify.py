"""`lego verify`: does a split change a score? Simulated replicas against the unsplit run, bit for bit; and the paper's Table II."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lego_sdn.commands.partial import PARTIAL, end, warn
from lego_sdn.core.facts.errors import LegoError
from lego_sdn.core.facts.json_text import json_text
from lego_sdn.core.facts.text import whole_number

if TYPE_CHECKING:
    from bricks.models.model_file import Model
    from bricks.offline.simulated_split import OwnershipChange, Split
    from bricks.offline.verify import VerifiedNF, VerifyOutcome
    from lego_sdn.core.facts.headers import HeaderGroup

GRANULARITIES = ("SrcIP", "SrcMAC-SrcIP", "SrcIP-DstIP", "Socket")
TABLE = ("SrcMAC-SrcIP", "SrcIP", "SrcIP-DstIP", "Socket")  # the paper's rows, in its order
OURS = "SrcIP with shadows"
MOST = 64  # replicas: one bucket each
SHOWN = 12  # features, of those that differ


@dataclass(frozen=True)
class VerifyOptions:
    """What the command line asks for."""

    replicas: int
    granularity: str | None
    assume: tuple[str, ...]
    no_shadow: bool
    events: str | None
    table2: bool
    assignment: Path | None
    nf: str = "kitsune"

    def __post_init__(self) -> None:
        if self.assignment and (self.table2 or self.events or self.granularity not in (None, "SrcIP")):
            raise LegoError("--assignment is of a split by SrcIP that stays; it goes without --table2, --events and other granularities")
        if self.table2 and (self.granularity or self.assume or self.no_shadow or self.events):
            raise LegoError("--table2 has its own splits; it goes without --granularity, --assume, --no-shadow and --events")


@click.command("verify", short_help="Check that a split changes no score; print the paper's Table II.")
@click.argument("captures", metavar="CAPTURE...", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--model", "model_file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Default: learned.")
@click.option("--nf", default="kitsune", show_default=True, help="Network function; other ones than kitsune need a model.")
@click.option("--replicas", type=click.IntRange(1, MOST), default=3, show_default=True, help="Replicas of the feature extractor.")
@click.option("--granularity", type=click.Choice(GRANULARITIES), help="Header group whose keys go to one replica.  [default: SrcIP]")
@click.option("--assume", multiple=True, help="Derive shadows relying on this assumption of the extractor; may be repeated.")
@click.option("--no-shadow", is_flag=True, help="Send no shadows: each replica sees only the packets that it owns.")
@click.option("--events", metavar="PACKET:REPLICAS,...", help='"5000:2,9000:1": 2 replicas from packet 5000 on, 1 from packet 9000 on.')
@click.option(
    "--assignment", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Replicas own what 'lego plan --out' chose."
)
@click.option("--table2", is_flag=True, help="Compare all granularities, as Table II of the paper does.")
@PARTIAL
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(captures: tuple[Path, ...], model_file: Path | None, as_json: bool, partial: bool, **given: Any) -> None:
    """Play CAPTURES (one time line) through simulated replicas and compare features and scores bit for bit with the unsplit run.

    Exit code 1 if any score differs (with --table2: in the row with shadows), 0 if none. Without a model, one is learned from the
    first capture, or from the first half of a single one. Packets are numbered from 0.
    """
    from bricks.offline.verify import verify as play
    from lego_sdn.commands.offline import progress_bar

    wanted = VerifyOptions(**given)
    events = parse_events(wanted.events or "")
    model: Any = _model(captures, model_file) if wanted.nf == "kitsune" else _verified(wanted.nf, model_file)
    splits = table_splits(model, wanted.replicas, wanted.nf) if wanted.table2 else [_split(model, wanted, events)]
    with progress_bar("verify") as progress:
        outcome = play(list(captures), model, splits, progress)
    warn(outcome.summary.warnings)
    shown = _table_facts(outcome, wanted.replicas) if wanted.table2 else _facts(outcome)
    shown |= {
        "layout": model.layout,
        "threshold": model.threshold,
        "model": str(model_file or "learned"),
        "warnings": outcome.summary.warnings,
    }
    if as_json:
        click.echo(json_text(shown))
    else:
        (_show_table if wanted.table2 else _show)(shown)
    end(outcome.summary.warnings, partial, 0 if outcome.runs[-1].same else 1)


def parse_events(text: str) -> tuple[OwnershipChange, ...]:
    """ "5000:2,9000:1" as events; LegoError names what is wrong."""
    from bricks.offline.simulated_split import OwnershipChange

    events: list[OwnershipChange] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        packet, colon, replicas = part.partition(":")
        numbers = whole_number(packet), whole_number(replicas)
        if not colon or numbers[0] is None or numbers[1] is None:
            raise LegoError(f"--events: {part!r} is no event; wanted PACKET:REPLICAS, for example 5000:2")
        event = OwnershipChange(numbers[0], numbers[1])
        if not 1 <= event.replicas <= MOST:
            raise LegoError(f"--events: {part!r} asks for {event.replicas} replicas; there may be 1 to {MOST}")
        if events and event.packet <= events[-1].packet:
            raise LegoError(f"--events: {part!r} does not come after packet {events[-1].packet}; give events in the order of packets")
        events.append(event)
    return tuple(events)


def _model(captures: tuple[Path, ...], model_file: Path | None) -> Model:
    if model_file:
        from bricks.models.model_file import load_model

        return load_model(model_file)
    from lego_sdn.experiments.run import learn

    with tempfile.TemporaryDirectory(prefix="lego-") as folder:
        return learn(captures, Path(folder) / "learned.model")


def _verified(name: str, model_file: Path | None) -> VerifiedNF:
    """An NF whose graph is a chain, with its model."""
    from bricks.nfs.registry import load
    from bricks.offline.any_nf import score_features_by
    from bricks.offline.verify import VerifiedNF
    from lego_sdn.core.facts.errors import ModelError

    nf = load(name)
    if model_file is None or len(nf.models) != 1 or len(nf.graph.keyed) != 1:
        raise ModelError(f"--nf {name}: give its model by --model; an NF with one model and one keyed node can be verified")
    models = {node: read(str(model_file), None) for node, read in nf.models.items()}
    (model,) = models.values()
    keyed = nf.graph.node(nf.graph.keyed[0])

    def new_brick(number: int, layout: str, streams: int, key: Any = None) -> Any:
        return nf.build(keyed, number, models, {"limits": {"streams": streams}} | ({} if key is None else {"key": key}))

    names = tuple(feature.name for feature in nf.extractor(model.layout).features)
    threshold = float(getattr(model, "threshold", 0.5))
    return VerifiedNF(model.layout, names, threshold, new_brick, score_features_by(nf, models))


def _plan(layout: str, group: HeaderGroup, assume: tuple[str, ...] = (), nf: str = "kitsune") -> Any:
    from bricks.nfs.registry import load
    from lego_sdn.core.nf.granularity import split_plan

    return split_plan(load(nf).extractor(layout), group, assume)


def _split(model: Any, wanted: VerifyOptions, events: tuple[OwnershipChange, ...]) -> Split:
    from bricks.offline.simulated_split import Split
    from lego_sdn.core.facts.headers import GROUPS

    plan = _plan(model.layout, GROUPS[wanted.granularity or "SrcIP"], wanted.assume, wanted.nf)
    owners = _owners(wanted.assignment) if wanted.assignment else None
    replicas = max(owners) + 1 if owners else wanted.replicas
    return Split(plan, replicas, not wanted.no_shadow, events, wanted.assume, owners)


def _owners(path: Path) -> tuple[int, ...]:
    """Replica, from 0 on, by bucket: instances are numbered from 1."""
    from bricks.offline.simulated_split import BUCKETS
    from lego_sdn.adapters.files.assignment import read_assignment

    found = read_assignment(path)
    if found.buckets != BUCKETS or not 1 <= min(found.owners) <= max(found.owners) <= MOST:
        raise LegoError(f"--assignment: wanted {BUCKETS} buckets of instances 1 to {MOST}; {path} has {found.buckets}")
    return tuple(owner - 1 for owner in found.owners)


def table_splits(model: Any, replicas: int, nf: str = "kitsune") -> list[Split]:
    """The paper's rows, which have no shadows, and ours."""
    from bricks.offline.simulated_split import Split
    from lego_sdn.core.facts.headers import GROUPS, SRC_IP

    return [
        *(Split(_plan(model.layout, GROUPS[name], nf=nf), replicas, shadows=False) for name in TABLE),
        Split(_plan(model.layout, SRC_IP, nf=nf), replicas),
    ]


def _facts(outcome: VerifyOutcome) -> dict[str, Any]:
    from bricks.offline.verify import describe

    return describe(outcome.runs[0])


def _table_facts(outcome: VerifyOutcome, replicas: int) -> dict[str, Any]:
    from bricks.offline.verify import notes, row_of

    found = [outcome.unsplit, *(run.found for run in outcome.runs)]
    rows = [row_of(name, one, outcome.unsplit) for name, one in zip(("Original", *TABLE, OURS), found, strict=True)]
    return {"packets": outcome.unsplit.packets, "replicas": replicas, "rows": rows, "notes": notes(outcome.runs[-1].split)}


def _show(shown: dict[str, Any]) -> None:
    from lego_sdn.adapters.terminal.tables import Grid, open_console

    console, split, scores = open_console(), shown["split"], shown["scores"]
    shadows = f"shadows to {'; '.join(split['shadows'])}" if split["shadows"] else "no shadows"
    console.print(
        f"{shown['packets']:,} packets, split by {split['granularity']}, replicas: {split['replicas']}, {shadows}; "
        f"{split['deliveries_per_packet']:.2f} deliveries per packet"
    )
    for event in split["events"]:
        console.print(
            f"  from packet {event['packet']:,} on, replicas: {event['replicas']}; "
            f"buckets moved: {event['buckets']}, with {event['state_bytes']:,} bytes of state"
        )
    for note in shown["notes"]:
        console.print(f"  {note}")
    if shown["features"]:
        title = f"{len(shown['features'])} features differ"
        table = Grid("feature", "packets", "largest relative difference", title=title, left=("feature",))
        for one in shown["features"][:SHOWN]:
            table.add_row(one["name"], f"{one['packets']:,}", f"{one['largest']:.3g}")
        console.print(table)
    console.print(
        f"Features: {shown['packets_different']:,} packets ({shown['share_of_packets']:.2%}) and "
        f"{shown['share_of_values']:.2%} of all values have other bits; first packet: {_first(shown['first_packet_with_other_features'])}."
    )
    console.print(
        f"[bold]Scores: {scores['different']:,} ({scores['share']:.2%}) differ[/bold], by {scores['largest']:.3g} of itself at most; "
        f"first packet: {_first(scores['first_packet'])}. Alerts: {scores['alerts']:,}, lost: {scores['alerts_lost']:,}."
    )
    if shown["promise_broken"]:
        console.print(
            f"[bold]{len(shown['promise_broken'])} features that are declared exact differ[/bold], among them "
            f"{shown['promise_broken'][0]}: {shown['promise_rests_on']}"
        )


def _first(packet: int | None) -> str:
    return "none" if packet is None else f"{packet:,}"


def _show_table(shown: dict[str, Any]) -> None:
    from lego_sdn.adapters.terminal.tables import Grid, open_console

    names = ("split by", "mean score", "of Original", "off by > 1e-6", "off by > 10 %", "alerts", "lost")
    title = f"Table II: {shown['packets']:,} packets, replicas: {shown['replicas']}"
    table = Grid(*names, title=title, left=("split by",))
    for row in shown["rows"]:
        shares = (f"{row[key]:.2%}" for key in ("share_off_fine", "share_off_coarse"))
        alerts = (f"{row[key]:,}" for key in ("alerts", "alerts_lost"))
        table.add_row(row["split"], f"{row['mean_score']:.6g}", f"{row['ratio']:.4f}", *shares, *alerts)
    console = open_console()
    console.print(table)
    same = shown["rows"][-1]["scores_different"] == 0
    for note in shown["notes"]:
        console.print(note)
    console.print(f"[bold]{OURS}: {'every score has the bits of the unsplit run' if same else 'scores differ'}[/bold]")
