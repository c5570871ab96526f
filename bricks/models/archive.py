"""The arrays within a model file, checked by their headers before any of them is made: memory is in proportion to the file.

`numpy.load` makes an array as large as its header says before it reads one byte of it, and unpacks what is packed without a bound.
Models are written unpacked (`numpy.savez`), so nothing else is read.
"""

from __future__ import annotations

import ast
import io
import json
import math
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from lego_sdn.core.facts.errors import ModelError
from lego_sdn.core.facts.text import printable

WHOLE, REAL = "<i8", "<f8"
KINDS = {"order": WHOLE, "sizes": WHOLE}
VECTORS = ("order", "sizes", "low", "span", "weights", "hidden_bias", "visible_bias", "error_low", "error_span")
SCALARS = ("threshold", "layout", "about")
HEADER_BYTES_MOST = 1000
MAGIC = b"\x93NUMPY"
_TEXT = re.compile(r"<U\d{1,9}")
# What Python, its zip files, its JSON and NumPy raise at content that is not what it says it is.
UNFIT = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, ArithmeticError, RecursionError, MemoryError, EOFError),
    *(OSError, SyntaxError, RuntimeError, NotImplementedError, struct.error, zlib.error, zipfile.BadZipFile, tokenize.TokenError),
)


def read_fields(archive: bytes, path: str) -> dict[str, Any]:
    """The fields of a model in an archive of .npy files. ModelError, naming `path`, if it is none, or a part is not what it must be."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as found:
            parts = _parts(found, len(archive))
            fields: dict[str, Any] = {name: _array(parts[name], KINDS.get(name, REAL), 1) for name in VECTORS}
            fields["threshold"] = _array(parts["threshold"], REAL, 0)
            fields["layout"], about = (str(_array(parts[name], _TEXT, 0)) for name in ("layout", "about"))
        fields["about"] = json.loads(about)
        if not isinstance(fields["about"], Mapping):
            raise ValueError("what is said about it is no map")
        return fields
    except UNFIT as error:
        why = printable(f"{type(error).__name__}: {error}", 200)
        raise ModelError(f"model {path} lacks a part of a model ({why}); train again with this LEGO") from None


def _parts(found: zipfile.ZipFile, size: int) -> dict[str, bytes]:
    """The content of every file of the archive, by name without `.npy`. ValueError if one is missing, packed, or longer than the whole."""
    wanted = {f"{name}.npy" for name in (*VECTORS, *SCALARS)}
    names = found.namelist()
    if len(names) != len(wanted) or set(names) != wanted:
        raise ValueError(f"wanted the parts {', '.join(sorted(wanted))}")
    for info in found.infolist():
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > size:
            raise ValueError(f"{info.filename} is packed, or longer than the file")
    if sum(info.file_size for info in found.infolist()) > size:
        raise ValueError("the parts together are longer than the file")
    return {name.removesuffix(".npy"): found.read(name) for name in names}


def _array(data: bytes, kind: str | re.Pattern[str], axes: int) -> np.ndarray:
    """The array of a .npy file of this type and number of axes. ValueError if it is another one, or its length is not what it says."""
    if data[:6] != MAGIC or data[6:7] not in (b"\1", b"\2"):
        raise ValueError("a part is no array")
    at = 10 if data[6] == 1 else 12
    size = int.from_bytes(data[8:at], "little")
    if size > HEADER_BYTES_MOST or at + size > len(data):
        raise ValueError("the header of an array is too long")
    header = ast.literal_eval(data[at : at + size].decode("latin-1"))
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        raise ValueError("the header of an array has other keys than descr, fortran_order and shape")
    name, shape = header["descr"], header["shape"]
    fits = isinstance(name, str) and (kind.fullmatch(name) is not None if isinstance(kind, re.Pattern) else name == kind)
    if not fits or not isinstance(shape, tuple) or len(shape) != axes or not all(type(one) is int and one >= 0 for one in shape):
        raise ValueError("an array has another type or number of axes than a model's")
    content = data[at + size :]
    if math.prod(shape) * np.dtype(name).itemsize != len(content):
        raise ValueError("an array is not as long as its header says")
    return np.frombuffer(content, name).reshape(shape) if content else np.zeros(shape, name)
