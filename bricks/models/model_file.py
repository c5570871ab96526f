"""The model file: what training learned, in one file that says what it is and whether it is whole.

LEGO model 1\n                      the name of the format and its version
<SHA-256 of the rest, 64 hex digits>\n
a NumPy .npz archive of plain arrays (nothing is unpickled); one of them, `kind`, says which others there are (`bricks/models/kinds.py`)
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import numpy as np

from bricks.models.archive import UNFIT, UNNAMED, read_fields
from bricks.models.kinds import find_kind, kind_of
from bricks.models.kitnet import Model
from lego_sdn.core.facts.errors import ModelError
from lego_sdn.core.facts.text import printable, shown

__all__ = ["Model", "load_model", "read_model_file", "save_model"]

FORMAT = b"LEGO model "
VERSION = 1
BYTES_MOST = 1 << 30  # of a file
KITNET = Model.kind


def save_model(model: Any, path: str | Path) -> None:
    """Write the file whole or not at all: a reader sees the old file or the new one."""
    archive, kind = io.BytesIO(), kind_of(model)
    named = {} if kind.name == UNNAMED else {"kind": np.array(kind.name)}
    texts = {"layout": np.array(model.layout), "about": np.array(json.dumps(dict(model.about), sort_keys=True))}
    np.savez(archive, **named, **texts, **kind.arrays(model))
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


def load_model(path: str | Path, layout: str | None = None, kind: str = KITNET) -> Any:
    """Read a model of a kind; with `layout`, refuse a model of another one. Takes memory in proportion to the file; ModelError whatever is
    in it."""
    named = printable(str(path))
    model = read_model_file(path)
    if (found := kind_of(model).name) != kind:
        raise ModelError(f"model {named} is of the kind {found}, not {kind}; give the model of the network function that runs")
    if layout is not None and model.layout != layout:
        found = shown(model.layout)[1:-1]
        raise ModelError(f"model {named} is of layout {found}, not {layout}; train one with `lego train --layout {layout}`")
    return model


def read_model_file(path: str | Path) -> Any:
    """The model in a file, of whatever kind. ModelError if there is none."""
    named = printable(str(path))
    kind, fields = read_fields(_checked(_content(path), named), named, lambda name: find_kind(name).parts)
    try:
        return find_kind(kind).make(fields)
    except (ModelError, *UNFIT) as error:
        raise ModelError(f"{named}: {printable(str(error), 300)}") from None


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
