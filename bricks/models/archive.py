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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lego_sdn.core.facts.errors import ModelError
from lego_sdn.core.facts.text import printable

HEADER_BYTES_MOST = 1000
PARTS_MOST = 64
MAGIC = b"\x93NUMPY"
_TEXT = re.compile(r"<U\d{1,9}")
# What Python, its zip files, its JSON and NumPy raise at content that is not what it says it is.
UNFIT = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, ArithmeticError, RecursionError, MemoryError, EOFError),
    *(OSError, SyntaxError, RuntimeError, NotImplementedError, struct.error, zlib.error, zipfile.BadZipFile, tokenize.TokenError),
)


@dataclass(frozen=True, slots=True)
class ArrayPart:
    """What one part of a model file must be: the type of its array as NumPy writes it ("<i8", "<f8"), and its number of axes.

    `vector` is the usual one. A part without a type is one text.
    """

    dtype: str = ""
    axes: int = 0

    @classmethod
    def vector(cls, dtype: str) -> ArrayPart:
        return cls(dtype, 1)

    def read(self, data: bytes) -> Any:
        """The array, the number or the text in a .npy file. ValueError if it is another one."""
        found = _array(data, self.dtype or _TEXT, self.axes)
        return found if self.dtype else str(found)


TEXT = ArrayPart()
COMMON = {"layout": TEXT, "about": TEXT}  # of every kind of model; `about` is a JSON map
UNNAMED = "kitnet"  # the kind of a file that names none: there was one kind when it was written


def read_fields(archive: bytes, path: str, parts_of: Callable[[str], Mapping[str, ArrayPart]]) -> tuple[str, dict[str, Any]]:
    """The kind of a model and its fields, in an archive of .npy files.

    parts_of  what a kind of this name has besides COMMON; ModelError if there is none. ModelError, naming `path`, if the archive is none,
    or a part is not what it must be.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as found:
            contents = _contents(found, len(archive))
        kind = TEXT.read(contents.pop("kind")) if "kind" in contents else UNNAMED
        wanted = {**COMMON, **parts_of(kind)}
        if set(contents) != set(wanted):
            raise ValueError(f"wanted the parts {', '.join(sorted(wanted))}")
        fields = {name: part.read(contents[name]) for name, part in wanted.items()}
        fields["about"] = json.loads(fields["about"])
        if not isinstance(fields["about"], Mapping):
            raise ValueError("what is said about it is no map")
        return kind, fields
    except ModelError as error:
        raise ModelError(f"model {path}: {error}") from None
    except UNFIT as error:
        why = printable(f"{type(error).__name__}: {error}", 200)
        raise ModelError(f"model {path} lacks a part of a model ({why}); train again with this LEGO") from None


def _contents(found: zipfile.ZipFile, size: int) -> dict[str, bytes]:
    """Every file of the archive, by name without `.npy`. ValueError if one is packed, or longer than the whole, or there are two."""
    names = found.namelist()
    if len(names) > PARTS_MOST or len(set(names)) < len(names) or not all(name.endswith(".npy") for name in names):
        raise ValueError(f"wanted up to {PARTS_MOST} arrays, each of a name of its own")
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
