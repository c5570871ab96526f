"""The controller's store: in memory, and in its file as long as that can be written. Whatever becomes of the file, it goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from lego_sdn.adapters.files.store import MEMORY, Entry, Intent, Store, Stored, StoreError


class KeptStore:
    """Every question is answered from memory. No trouble with the file is raised: it is the `problem`, and `keep` mends it.

    A value that no store can hold raises StoreError; then nothing is changed.
    """

    def __init__(self, path: str | None, problem: str = "there is no folder for it") -> None:
        self.path = path
        self.problem: str | None = problem if path is None else None
        self._memory, self._file = Store(MEMORY), None
        if path is not None:
            self._open_first(path)

    # ---- written to both ----
    def save(self, stored: Stored) -> None:
        self._write(lambda store: store.save(stored))

    def save_paused(self, paused: bool) -> None:
        self._write(lambda store: store.save_paused(paused))

    def begin_move(self, intent: Intent) -> None:
        self._write(lambda store: store.begin_move(intent))

    def end_move(self, token: int) -> None:
        self._write(lambda store: store.end_move(token))

    def save_owners(self, owners: Mapping[int, int]) -> None:
        self._write(lambda store: store.save_owners(owners))

    def note(self, entry: Entry) -> None:
        self._write(lambda store: store.note(entry))

    # ---- read from memory ----
    def load(self) -> Stored | None:
        return self._memory.load()

    def paused(self) -> bool:
        return self._memory.paused()

    def owners(self) -> dict[int, int]:
        return self._memory.owners()

    def open_moves(self) -> list[Intent]:
        return self._memory.open_moves()

    def events(self, after: int = 0, limit: int = 1000) -> list[Entry]:
        return self._memory.events(after, limit)

    def keep(self) -> None:
        """If the file was lost or could not be written, write all of it anew. To be called often."""
        if self.path is None:
            return
        if self._file is not None and self._file.is_lost():
            self._lose(f"{self.path} is not there any more")
        if self._file is None:
            self._open_again(self.path)

    def close(self) -> None:
        self._let_go()
        self._memory.close()

    def __repr__(self) -> str:
        return f"<KeptStore {self.path}{'' if self.problem is None else ': ' + self.problem}>"

    # ---- the file ----
    def _write(self, change: Callable[[Store], Any]) -> None:
        change(self._memory)
        if self._file is not None:
            try:
                change(self._file)
            except StoreError as error:
                self._lose(str(error))

    def _open_first(self, path: str) -> None:
        """What is in the file is what the controller before this one knew."""
        try:
            self._file = _opened(path)
            self._file.copy_to(self._memory)
        except StoreError as error:
            self._memory.close()
            self._memory = Store(MEMORY)  # half of it would be worse than nothing
            self._lose(str(error))

    def _open_again(self, path: str) -> None:
        try:
            self._file = _opened(path)
            self._memory.copy_to(self._file)
        except StoreError as error:
            self._lose(str(error))
        else:
            self.problem = None

    def _lose(self, problem: str) -> None:
        self.problem = problem
        self._let_go()

    def _let_go(self) -> None:
        if self._file is not None:
            with contextlib.suppress(StoreError):
                self._file.close()
        self._file = None


def _opened(path: str) -> Store:
    """StoreError if something in it cannot be read: then it stays as it is, for whoever wants to know."""
    store = Store(path)
    try:
        for read in (store.load, store.paused, store.owners, store.open_moves, store.events):
            read()
    except StoreError:
        with contextlib.suppress(StoreError):
            store.close()
        raise
    return store
