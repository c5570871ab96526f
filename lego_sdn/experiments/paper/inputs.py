"""What the experiments are run on: captures and a model, given or made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bricks.files.captures import read_packets
from bricks.models.model_file import load_model
from lego_sdn.core.facts.errors import HostError
from lego_sdn.experiments.run import learn


@dataclass(frozen=True)
class PaperInputs:
    """Captures as one time line, the model's file and layout, the traffic in words, and warnings about captures that were given."""

    captures: tuple[Path, ...]
    model: Path
    layout: str
    traffic: str
    warnings: tuple[str, ...] = ()


def inputs(captures: tuple[Path, ...], model: Path | None, folder: Path) -> PaperInputs:
    """Synthetic traffic if no captures are given, a model learned from its benign part if none is; what is made goes into the folder."""
    words = ", ".join(path.name for path in captures) or "synthetic traffic"
    warnings = tuple(read_packets(captures)[1])
    captures = captures or _synthetic(folder)
    where = model or folder / "learned.model"
    found = load_model(where) if model else learn(captures, where)
    return PaperInputs(captures, where.resolve(), found.layout, words, warnings)


def _synthetic(folder: Path) -> tuple[Path, ...]:
    from topologies.traffic import write_capture

    path = folder / "synthetic.pcap"
    write_capture(path)
    return (path,)


def make_folder(folder: Path) -> Path:
    """The folder of what is drawn and written. HostError if it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(f"cannot make the folder {folder}: {error.strerror}") from error
    return folder
