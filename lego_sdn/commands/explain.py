"""`lego explain`: why a packet of a capture has its score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lego_sdn.commands.numbers import MOST_PACKETS
from lego_sdn.commands.offline import STREAMS
from lego_sdn.commands.partial import warn
from lego_sdn.core.facts.errors import CaptureError
from lego_sdn.core.facts.json_text import json_text

if TYPE_CHECKING:
    import numpy as np

    from bricks.models.model_file import Model


@click.command("explain", short_help="Say why a packet of a capture has its score.")
@click.argument("model_file", metavar="MODEL", type=click.Path(dir_okay=False))
@click.argument("capture", metavar="CAPTURE", type=click.Path(dir_okay=False))
@click.option(
    "--packet", type=click.IntRange(0, MOST_PACKETS), required=True, help="Number of the packet, from 0 on: the stamp of an alert."
)
@STREAMS
@click.option("--json", "as_json", is_flag=True, help="Print the explanation as JSON.")
def explain(model_file: str, capture: str, packet: int, streams: int, as_json: bool) -> None:
    """Divide the score of a packet of the CAPTURE exactly among the features that make it, by a MODEL of `lego train` or `lego watch`.

    A share says how much of the square of the score a feature makes; all shares sum to 1. The packets before it are read, too, since a
    feature is a statistic of a stream of packets.
    """
    from bricks.models.model_file import load_model
    from bricks.offline.scoring import CaptureSummary

    model, summary = load_model(model_file), CaptureSummary()
    with summary.told():
        row, features = _features_of(capture, packet, model, streams, summary)
    warn(summary.warnings)
    found = _explanation(model, row, features)
    click.echo(json_text(found) if as_json else _text(found))


def _features_of(capture: str, packet: int, model: Model, streams: int, summary: Any) -> tuple[np.ndarray, np.ndarray]:
    """The packet, PACKET [1], and its features, float64 [1, width]."""
    from contextlib import closing

    from bricks.feature_quantization import FeatureQuantization
    from bricks.offline.scoring import read_blocks
    from bricks.records.brick import Batch
    from bricks.records.packets import SHADOW

    extractor = FeatureQuantization(0, model.layout, streams)
    with closing(read_blocks([capture], summary)) as blocks:
        for rows in blocks:
            rows = rows[: max(0, packet + 1 - int(rows["seq"][0]))]
            values = extractor.process(Batch(rows)).values
            if len(rows) and int(rows["seq"][-1]) == packet:
                assert values is not None
                if rows["flags"][-1] & SHADOW:
                    raise CaptureError(f"packet {packet} of {capture} is a shadow: it has no score")
                return rows[-1:], values[-1:]
    raise CaptureError(f"{capture} has {summary.packets:,} packets, numbered from 0: there is no packet {packet}")


def _explanation(model: Model, row: np.ndarray, features: np.ndarray) -> dict[str, Any]:
    from bricks.alerts.eve import SIGNATURES, time_text
    from bricks.explanation.shares import MIXED, Explainer, explain, groups_of
    from bricks.explanation.words import reasons
    from bricks.feature_quantization import NAMES
    from bricks.records.flow import flow_of

    names = NAMES[model.layout]
    found, record, flow = explain(model, features), Explainer(model, names).records(features)[0], flow_of(row[0])
    kind = "mixed" if record["kind"] == MIXED else groups_of(names)[0][record["kind"]]
    return {
        "packet": int(row["seq"][0]),
        "time": time_text(int(row["time_ns"][0])),
        "source": flow.source,
        "destination": flow.destination,
        "score": float(found.scores[0]),
        "threshold": model.threshold,
        "alert": bool(found.scores[0] > model.threshold),
        "kind": kind,
        "signature": SIGNATURES[kind][1],
        "shares": dict(zip(names, found.shares[0].tolist(), strict=True)),
        "clusters": found.clusters[0].tolist(),
        "reasons": [{"feature": reason.feature, "share": reason.share, "text": reason.text} for reason in reasons(record, model, names)],
    }


def _text(found: dict[str, Any]) -> str:
    above = "above" if found["alert"] else "not above"
    lines = [
        f"packet {found['packet']:,}, {found['time']}, {found['source']} > {found['destination']}: score {found['score']:.6g}, "
        f"{above} the threshold {found['threshold']:.6g}; {found['signature']}"
    ]
    return "\n".join([*lines, *(f"  {reason['feature']:<24} {reason['text']}" for reason in found["reasons"])])
