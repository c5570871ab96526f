"""What is fuzzed: each takes bytes and comes back, or raises LegoError; anything else is a fault."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bricks.files.captures import open_capture
from bricks.models.model_file import load_model
from lego_sdn.adapters.files import configfile
from lego_sdn.adapters.rpc.calls import Server
from lego_sdn.core.facts.errors import LegoError
from lego_sdn.core.facts.messages import AGENT, BRICK
from tests.fuzz import corpora
from tests.fuzz.mutate import mutated


@dataclass
class Target:
    """Good inputs, words of their format, and what reads one: it raises nothing but LegoError."""

    corpus: list[bytes]
    words: tuple[bytes, ...]
    read: Callable[[bytes], Any]
    close: Callable[[], None] = lambda: None

    def run(self, rng: random.Random, inputs: int) -> int:
        """Read that many mutated inputs; returns how many were refused. An AssertionError holds the input that is a fault."""
        refused = 0
        for _ in range(inputs):
            data = mutated(rng, self.corpus, self.words)
            try:
                self.read(data)
            except LegoError as error:
                refused += 1
                if not str(error).isprintable():
                    raise AssertionError(f"no printable sentence: {str(error)!r} at {data!r}") from error
            except Exception as error:
                raise AssertionError(f"{type(error).__name__}: {error} at {data!r}") from error
        return refused


class _File:
    """A file that is written again for each input."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def of(self, data: bytes) -> Path:
        self.path.write_bytes(data)
        return self.path


def models(folder: Path) -> Target:
    file = _File(folder / "model")
    words = (b"\x93NUMPY\1\0", b"'descr': '<f8'", b"(4000000000,)", b"PK\3\4", b"(" * 200, b"'|O'", b"9" * 20)
    return Target(corpora.model_archives(), words, lambda data: load_model(file.of(corpora.as_model(data))))


def captures(folder: Path) -> Target:
    file = _File(folder / "capture")

    def read(data: bytes) -> None:
        with open_capture(file.of(data)) as capture:
            for _ in capture:
                pass

    return Target(corpora.captures(), (b"\x0a\x0d\x0d\x0a", b"\x1f\x8b\x08", b"\t", b"\n", b"1e999", b"\xff\xfe"), read)


def configurations(_: Path) -> Target:
    words = (
        b"[",
        b"{",
        b"*x",
        b"&x ",
        b"- ",
        b"? ",
        b"<<: ",
        b": ",
        b"2026-99-99",
        b"0x",
        b"0b",
        b"1_",
        b"!!int x",
        b"!!timestamp x",
        b".nan",
    )
    words += (
        b"9" * 400,
        b"1e999",
        b"\x1b[2J",
        b"\n  ",
        b"!!binary x",
        b"!!set {a",
        b"!!omap [a",
        b"!!pairs [[",
        b"!!float ",
        b"~",
        b"'",
        b'"\\ud800"',
    )

    def read(data: bytes) -> None:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            return
        configfile.parse(text, follows_policy=False)

    return Target(corpora.configurations(), words, read)


def requests(folder: Path) -> Target:
    """Through a real socket; no handler may ever be called with what does not fit its table, and a good peer is still answered."""
    table = AGENT | BRICK

    def handler(name: str) -> Callable[..., bool]:
        def called(*params: Any) -> bool:
            assert table[name].problem(name, params) is None
            return True

        return called

    server = Server(str(folder / "s"), {name: handler(name) for name in table}, takes=table)

    def read(data: bytes) -> None:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(server.address)
            peer.setblocking(False)
            peer.send(data)
            server.serve_once(0)
            server.serve_once(0)
        server.serve_once(0)

    words = (b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\x91" * 100, b"\x80" * 100, b"\xc0", b"\xcb\x7f\xf8")
    return Target(corpora.requests(), words, read, server.close)


# Each is given a folder of its own for what it writes.
TARGETS: dict[str, Callable[[Path], Target]] = {
    "models": models,
    "captures": captures,
    "configurations": configurations,
    "requests": requests,
}
