"""Writing a NumPy array file row by row, when the number of rows is known at the end only."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lego_sdn.core.facts.errors import LegoError


class NpyWriter:
    """Rows of one shape and type, appended to a .npy file; the file appears under its name when all is written.

    Use as a context manager: left by an exception, it leaves nothing behind.
    """

    def __init__(self, path: str | Path, width: int | None = None, kind: str = "<f8") -> None:
        """`width` None: a flat array."""
        self.path, self._width, self._kind = Path(path), width, np.dtype(kind)
        self._partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        self.rows = 0
        try:
            self._file: BinaryIO = open(self._partial, "wb")  # noqa: SIM115
        except OSError as error:
            raise LegoError(f"{self.path} cannot be written: {error.strerror}; choose another place for --out") from None
        self._head()

    def _head(self) -> None:
        """NumPy leaves room in the header for the first axis to grow, so that it can be written again in place."""
        shape = (self.rows,) if self._width is None else (self.rows, self._width)
        header = {"descr": np.lib.format.dtype_to_descr(self._kind), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)

    def append(self, rows: np.ndarray) -> None:
        try:
            np.ascontiguousarray(rows, dtype=self._kind).tofile(self._file)
        except OSError as error:
            raise LegoError(f"{self.path} cannot be written: {error.strerror or error}; make room or choose another place") from None
        self.rows += len(rows)

    def __enter__(self) -> NpyWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._file.seek(0)
                self._head()
                self._file.close()
                if self.path.exists():
                    shutil.copymode(self.path, self._partial)
                os.replace(self._partial, self.path)
        finally:
            self._file.close()
            self._partial.unlink(missing_ok=True)
