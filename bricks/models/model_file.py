"""The model file: what training learned, in one file that says what it is and whether it is whole.

LEGO model 1\n                      the name of the format and its version
<SHA-256 of the rest, 64 hex digits>\n
a NumPy .npz archive of plain arrays (nothing is unpickled)
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bricks.models.archive import UNFIT, read_fields
from lego_sdn.core.facts.errors import ModelError
from lego_sdn.core.facts.text import printable, shown

FORMAT = b"LEGO model "
VERSION = 1
BYTES_MOST = 1 << 30  # of a file
_REAL = ("low", "span", "weights", "hidden_bias", "visible_bias", "error_low", "error_span", "threshold")
_WHOLE = ("order", "sizes")


def hidden_units(visible: np.ndarray | int) -> np.ndarray | int:
    """Hidden units of an autoencoder: ceil(0.75 visible)."""
    return (3 * visible + 3) // 4


@dataclass(frozen=True, eq=False)
class Model:
    """A trained KitNET. Arrays are float64 unless told; `width` features in `clusters` autoencoders.

    layout       name of the feature layout
    order        int64 [width]: feature of each column, cluster after cluster
    sizes        int64 [clusters]: visible units of each autoencoder of the ensemble; the output autoencoder has `clusters`
    low, span    [width]: lowest value and range of each column in training
    weights      of every autoencoder [visible, hidden], flat, the output autoencoder last; used in both directions (tied)
    hidden_bias, visible_bias      likewise
    error_low, error_span          [clusters]: of the ensemble's errors in training
    threshold    a score above it raises an alert
    about        how it was trained: seed, counts, numerics, calibration; plain JSON values
    """

    layout: str
    order: np.ndarray
    sizes: np.ndarray
    low: np.ndarray
    span: np.ndarray
    weights: np.ndarray
    hidden_bias: np.ndarray
    visible_bias: np.ndarray
    error_low: np.ndarray
    error_span: np.ndarray
    threshold: float
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (*_WHOLE, *_REAL[:-1]):
            array = np.array(getattr(self, name), dtype=np.int64 if name in _WHOLE else np.float64)  # a copy: nobody else's to change
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        object.__setattr__(self, "threshold", float(self.threshold))
        fault = _fault(self)
        if fault:
            raise ModelError(f"model of layout {shown(self.layout)}: {fault}; train again")

    @property
    def width(self) -> int:
        return len(self.order)

    @property
    def all_sizes(self) -> np.ndarray:
        """Visible units of every autoencoder, the output autoencoder last."""
        return np.append(self.sizes, len(self.sizes))

    def net(self, precision: str = "float64") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights, hidden and visible biases in the precision of the arithmetic."""
        return tuple(np.ascontiguousarray(a, dtype=precision) for a in (self.weights, self.hidden_bias, self.visible_bias))

    def __repr__(self) -> str:
        return f"<Model {self.layout} {self.width} features, {len(self.sizes)} autoencoders, threshold {self.threshold:.6g}>"


def _fault(model: Model) -> str | None:
    """What makes the arrays no model, or None."""
    sizes, width = model.sizes, model.width
    if model.order.ndim != 1 or sizes.ndim != 1 or len(sizes) == 0 or sizes.min() < 1 or sizes.max() > width or sizes.sum() != width:
        return f"clusters of {shown(sizes.tolist())} features do not make up {width} features"
    if sorted(model.order.tolist()) != list(range(width)):
        return f"the feature map is not a permutation of {width} features"
    visible = np.append(sizes, len(sizes))
    wanted = {"low": width, "span": width, "error_low": len(sizes), "error_span": len(sizes)}
    wanted |= {"weights": int((visible * hidden_units(visible)).sum()), "hidden_bias": int(hidden_units(visible).sum())}
    wanted |= {"visible_bias": int(visible.sum())}
    for name, length in wanted.items():
        array = getattr(model, name)
        if array.shape != (length,):
            return f"{name} has shape {array.shape} where ({length},) was expected"
        if not np.isfinite(array).all():
            return f"{name} holds numbers that are not finite"
    if min(model.span.min(), model.error_span.min()) <= 0:
        return "a range is not above zero"
    return None if model.threshold > 0 else f"the threshold {model.threshold} is not above zero"


def save_model(model: Model, path: str | Path) -> None:
    """Write the file whole or not at all: a reader sees the old file or the new one."""
    archive = io.BytesIO()
    arrays = {name: np.asarray(getattr(model, name)) for name in (*_WHOLE, *_REAL)}
    np.savez(archive, layout=np.array(model.layout), about=np.array(json.dumps(dict(model.about), sort_keys=True)), **arrays)
    content = archive.getvalue()
    digest = hashlib.sha256(content).hexdigest().encode()
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            file.write(FORMAT + str(VERSION).encode() + b"\n" + digest + b"\n" + content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, partial)
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ModelError(f"model {path} cannot be written: {error.strerror}; choose another place for --out") from None


def load_model(path: str | Path, layout: str | None = None) -> Model:
    """Read a model; with `layout`, refuse a model of another one. Takes memory in proportion to the file; ModelError whatever is in it."""
    named = printable(str(path))
    fields = read_fields(_checked(_content(path), named), named)
    try:
        model = Model(**fields)
    except (ModelError, *UNFIT) as error:
        raise ModelError(f"{named}: {printable(str(error), 300)}") from None
    if layout is not None and model.layout != layout:
        found = shown(model.layout)[1:-1]
        raise ModelError(f"model {named} is of layout {found}, not {layout}; train one with `lego train --layout {layout}`")
    return model


def _content(path: str | Path) -> bytes:
    """A regular file's; a device or a pipe might never end."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_size > BYTES_MOST:
                raise ModelError(f"model {printable(str(path))} is no regular file of at most {BYTES_MOST} bytes; copy the model into one")
            return file.read(found.st_size)
    except OSError as error:
        reason = f"cannot be read: {error.strerror}; make one with `lego train CAPTURE --out {printable(str(path))}`"
        raise ModelError(f"model {printable(str(path))} {reason}") from None
    except ValueError as error:
        raise ModelError(f"model {shown(str(path))} cannot be read: {error}") from None


def _checked(content: bytes, path: str) -> bytes:
    """The archive within a file whose name, version and digest are right. What else is in it is not said: it may be anything."""
    if not content.startswith(FORMAT):
        found = "is empty" if not content else "does not begin as one"
        raise ModelError(f"{path} is no LEGO model: it {found}; make one with `lego train CAPTURE --out MODEL`")
    head, _, rest = content.partition(b"\n")
    if head != FORMAT + str(VERSION).encode():
        version = head[len(FORMAT) :]
        found = version.decode() if version.isdigit() and len(version) <= 4 else ""
        raise ModelError(f"model {path} has format version {found!r}, this LEGO reads version {VERSION}; train again with this LEGO")
    digest, _, archive = rest.partition(b"\n")
    if hashlib.sha256(archive).hexdigest().encode() != digest:
        raise ModelError(f"model {path} is damaged: its content does not match its checksum; copy it again or train again")
    return archive
