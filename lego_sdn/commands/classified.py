"""What `lego train` and `lego score` do for network functions with a classifier; progress is told to the caller's bar."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lego_sdn.core.facts.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from bricks.offline.scoring import CaptureSummary
    from lego_sdn.core.nf.network_function import NetworkFunction

Told = tuple["CaptureSummary", str]  # the facts, and the same in a sentence or more
Progress = Callable[[int], None]
STREAMS = 1_000_000  # while it learns
OF_KITSUNE = {"fm_grace": None, "ad_grace": None, "max_size": 10, "reference_numerics": False}  # options, and what they are if not given


def refuse(given: dict[str, Any], usual: dict[str, Any], nf: str) -> None:
    """ModelError if an option is given that says nothing to this NF."""
    for name, value in usual.items():
        if given.get(name, value) != value:
            raise ModelError(f"--{name.replace('_', '-')} says nothing to NF {nf}: leave it out")


def train(nf: NetworkFunction, captures: list[str | Path], to: Path, given: dict[str, Any], progress: Progress) -> Told:
    """Learn a classifier from packets that are labelled by their sources, and write it."""
    from bricks.learning.supervised import Supervised
    from bricks.models.model_file import save_model
    from bricks.offline.any_nf import keyed_brick, parse_label, train_on_labels

    refuse(given, OF_KITSUNE, nf.name)
    labels = [parse_label(text) for text in given["label"]]
    if not labels:
        raise ModelError(f"NF {nf.name} learns from labels: name the sources of a class by --label NAME=ADDRESS; all others are benign")
    how = Supervised(given["estimator"], given["seed"])
    model, summary = train_on_labels(captures, keyed_brick(nf, given["layout"], STREAMS), given["layout"], labels, how, progress)
    accept(nf, model)
    save_model(model, to)
    counts = model.about["examples"]
    summary.facts |= {"layout": model.layout, "classes": counts, "estimator": how.estimator, "out": str(to)}
    summary.warnings += model.about["warnings"]
    classes = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    return summary, f"learned from {summary.packets:,} packets ({classes}) by {how.estimator}"


def accept(nf: NetworkFunction, model: Any) -> None:
    """ModelError if the NF would not read such a model."""
    import tempfile
    from pathlib import Path

    from bricks.models.model_file import save_model

    if not nf.models:
        raise ModelError(f"NF {nf.name} has no model")
    with tempfile.TemporaryDirectory(prefix="lego-") as folder:
        path = Path(folder) / "model"
        save_model(model, path)
        for read in nf.models.values():
            try:
                read(str(path), model.layout)
            except ModelError as error:
                raise ModelError(f"NF {nf.name} does not take such a model: {str(error).replace(f'{path} ', '')}") from None


def score(nf: NetworkFunction, captures: list[str | Path], to: Path, given: dict[str, Any], progress: Progress) -> Told:
    """Score every packet by the bricks of the NF, write the scores, and count alerts by class and source."""
    from bricks.offline.any_nf import chain_of, score_any

    refuse(given, {"workers": 1}, nf.name)
    models = {node: read(given["model_file"], None) for node, read in nf.models.items()}
    layout = next((model.layout for model in models.values() if hasattr(model, "layout")), nf.layouts[0])
    settings = {"limits": {"streams": given["streams"]}, "precision": given["precision"], "threshold": given["threshold"]}
    summary = score_any(captures, to, chain_of(nf, models, layout, settings), given["skip"], progress)
    facts = summary.facts
    facts["layout"] = layout
    lines = [f"{facts['scored']:,} of {summary.packets:,} packets scored, {facts['alerts']:,} alerts"]
    for what in ("class", "source"):
        if found := facts.get(f"by_{what}"):
            lines += [f"alerts by {what}:", *(f"{name:>40}  {count:,}" for name, count in list(found.items())[:10])]
    return summary, "\n".join(lines)
