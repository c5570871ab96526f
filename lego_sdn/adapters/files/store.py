"""What the controller must find again after it died: who owns which bucket, whether it is paused, and what happened. One SQLite file."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from lego_sdn.core.facts.errors import LegoError

FORMAT = 1
KEPT_EVENTS = 10_000
BUSY_S = 1.0  # somebody else may have the file locked; the controller waits meanwhile
MEMORY = ":memory:"

SCHEMA = """
CREATE TABLE IF NOT EXISTS assignment (bucket INTEGER PRIMARY KEY, instance INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS moves (number INTEGER PRIMARY KEY AUTOINCREMENT, token INTEGER NOT NULL, before TEXT NOT NULL,
                                  after TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS streams (bucket INTEGER PRIMARY KEY, instance INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL,
                                   instance INTEGER, type TEXT NOT NULL DEFAULT 'Notice', fields TEXT NOT NULL DEFAULT '{}');
"""
ADDED = {"type": "TEXT NOT NULL DEFAULT 'Notice'", "fields": "TEXT NOT NULL DEFAULT '{}'"}  # to events, after files had been made


# What SQLite and its Python say of files and of values: numbers beyond 64 bits, text that is none, rows that are not as they were written.
NOT_KEPT = (sqlite3.Error, OSError, OverflowError, RecursionError, ValueError, TypeError, LookupError)


class StoreError(LegoError):
    """The controller's file cannot be used."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The assignment as it was last put into rules: bucket -> instance, of `buckets` buckets in all."""

    assignment: Mapping[int, int]
    version: int
    buckets: int


@dataclass(frozen=True, slots=True)
class Intent:
    """A move of buckets that is under way: bucket -> instance before and after it."""

    token: int
    before: Mapping[int, int]
    after: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that was decided or happened; `time` in epoch seconds; `type` and `fields` as its note has them."""

    time: float
    kind: str
    text: str
    instance: int | None = None
    type: str = "Notice"
    fields: Mapping[str, Any] = field(default_factory=dict)
    number: int = 0


class Store:
    """The file, opened; made, with mode 0600, if it is not there. `MEMORY` as path: nothing outlives the process.

    Every method raises StoreError if the file is damaged, foreign, or cannot be written.
    """

    def __init__(self, path: str, kept_events: int = KEPT_EVENTS) -> None:
        self.path, self.kept_events = path, kept_events
        self._inode: tuple[int, int] | None = None
        with self._explained():
            if path != MEMORY:
                self._inode = _make(path)
            self._base = sqlite3.connect(path, isolation_level=None, timeout=BUSY_S)
        try:
            with self._explained():
                self._prepare()
        except StoreError:
            self._base.close()
            raise

    def _prepare(self) -> None:
        found = self._base.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, FORMAT):
            raise StoreError(
                f"{self.path} has format {found}, and this version reads {FORMAT}: move it away, or use the version that wrote it"
            )
        self._base.execute("PRAGMA journal_mode = WAL")
        self._base.execute("PRAGMA synchronous = NORMAL")  # whole after a crash of the controller; a power cut ends what it tells of, too
        self._base.executescript(SCHEMA)
        there = {row[1] for row in self._base.execute("PRAGMA table_info(events)")}
        for name, what in ADDED.items():
            if name not in there:
                self._base.execute(f"ALTER TABLE events ADD COLUMN {name} {what}")
        self._base.execute(f"PRAGMA user_version = {FORMAT}")

    def save(self, stored: Stored) -> None:
        """Replace the assignment, all of it or, should the machine stop meanwhile, nothing."""
        with self._transaction():
            self._base.execute("DELETE FROM assignment")
            self._base.executemany("INSERT INTO assignment VALUES (?, ?)", sorted(stored.assignment.items()))
            facts = {"version": stored.version, "buckets": stored.buckets}
            self._base.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts.items())

    def load(self) -> Stored | None:
        """The assignment last saved; None if there never was one."""
        with self._explained():
            facts = dict(self._base.execute("SELECT name, value FROM facts"))
            rows = dict(self._base.execute("SELECT bucket, instance FROM assignment"))
            return Stored(rows, facts["version"], facts["buckets"]) if "version" in facts else None

    def save_paused(self, paused: bool) -> None:
        """Whether an operator paused scaling."""
        with self._transaction():
            self._base.execute("INSERT OR REPLACE INTO facts VALUES ('paused', ?)", (int(paused),))

    def paused(self) -> bool:
        """As last saved; False if it never was."""
        with self._explained():
            return self._base.execute("SELECT value FROM facts WHERE name = 'paused'").fetchone() == (1,)

    def begin_move(self, intent: Intent) -> None:
        """Journal a move of buckets before anything of it is done."""
        rows = [json.dumps(sorted(assignment.items())) for assignment in (intent.before, intent.after)]
        with self._transaction():
            self._base.execute("INSERT INTO moves (token, before, after) VALUES (?, ?, ?)", (intent.token, *rows))

    def end_move(self, token: int) -> None:
        """The move is over."""
        with self._transaction():
            self._base.execute("DELETE FROM moves WHERE token = ?", (token,))

    def save_owners(self, owners: Mapping[int, int]) -> None:
        """Which instance has the streams of which bucket: it follows the assignment when the rules are in force and moves are over."""
        with self._transaction():
            self._base.execute("DELETE FROM streams")
            self._base.executemany("INSERT INTO streams VALUES (?, ?)", sorted(owners.items()))

    def owners(self) -> dict[int, int]:
        """As last saved."""
        with self._explained():
            return dict(self._base.execute("SELECT bucket, instance FROM streams"))

    def open_moves(self) -> list[Intent]:
        """Moves that a controller began and did not end, in their order; more than one only if it died again while it finished one."""
        with self._explained():
            rows = self._base.execute("SELECT token, before, after FROM moves ORDER BY number").fetchall()
            return [Intent(token, dict(json.loads(before)), dict(json.loads(after))) for token, before, after in rows]

    def note(self, entry: Entry) -> int:
        """Add an event; returns its number. The oldest beyond `kept_events` go."""
        with self._transaction():
            fields = json.dumps(dict(entry.fields), allow_nan=False)
            values = (entry.time, entry.kind, entry.text, entry.instance, entry.type, fields)
            query = "INSERT INTO events (time, kind, text, instance, type, fields) VALUES (?, ?, ?, ?, ?, ?)"
            number = self._base.execute(query, values).lastrowid or 0
            self._base.execute("DELETE FROM events WHERE number <= ?", (number - self.kept_events,))
        return number

    def events(self, after: int = 0, limit: int = 1000) -> list[Entry]:
        """Events numbered above `after`, in order; of more than `limit` the latest."""
        query = "SELECT time, kind, text, instance, type, fields, number FROM events WHERE number > ? ORDER BY number DESC LIMIT ?"
        with self._explained():
            rows = self._base.execute(query, (after, limit)).fetchall()
            return [Entry(*row, fields=_object(fields), number=number) for *row, fields, number in reversed(rows)]

    def copy_to(self, other: Store) -> None:
        """Everything, instead of all that the other one has: at once, or, if that fails, nothing."""
        with other._explained():
            self._base.backup(other._base)

    def is_lost(self) -> bool:
        """Whether the file that was opened is not there any more under its name."""
        if self._inode is None:
            return False
        try:
            there = os.stat(self.path)
        except OSError:
            return True
        return (there.st_dev, there.st_ino) != self._inode

    def close(self) -> None:
        with self._explained():
            self._base.close()

    def __repr__(self) -> str:
        return f"<Store {self.path}>"

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._explained():
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._base.execute("COMMIT")
            except BaseException:
                if self._base.in_transaction:  # a disk that is full ends some transactions by itself
                    self._base.execute("ROLLBACK")
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except NOT_KEPT as error:
            raise StoreError(f"cannot use {self.path}: {error}; make it writable, move it away, or choose another run_dir") from error


def _object(text: str) -> dict[str, Any]:
    """ValueError if the text is no JSON object."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("the fields of an event are no object")
    return found


def _make(path: str) -> tuple[int, int]:
    """The file, if it is not there; its device and inode."""
    file = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        found = os.fstat(file)
        return found.st_dev, found.st_ino
    finally:
        os.close(file)
