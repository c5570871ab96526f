"""The tables of the commands on a terminal of 80 columns and in a pipe, as whoever types `lego ...` gets them."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios

import pytest

from tests.commands.test_control import BRICK
from tests.commands.test_top import controller  # noqa: F401 (a fixture)
from topologies.traffic import write_capture

WIDTH = 80
FRAME = tuple("┏┃┡│└")  # with which a line of a table begins


def environment(**more: str) -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "LEGO_CONFIG")} | {"TERM": "xterm"} | more


def on_a_terminal(*words: str) -> list[str]:
    """Lines that `lego` writes on a terminal of 80 columns, without colours."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, WIDTH, 0, 0))
    with subprocess.Popen(
        [sys.executable, "-m", "lego_sdn", *words], stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL, env=environment()
    ):
        os.close(theirs)
        text = b""
        try:
            while part := os.read(ours, 65536):
                text += part
        except OSError:  # the last one who writes has gone
            pass
    os.close(ours)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.decode())
    return [line.rsplit("\r", 1)[-1] for line in plain.replace("\r\n", "\n").split("\n")]


def in_a_pipe(*words: str, **more: str) -> list[str]:
    done = subprocess.run([sys.executable, "-m", "lego_sdn", *words], capture_output=True, env=environment(**more), check=False)
    assert b"Traceback" not in done.stderr
    return done.stdout.decode(errors="replace").splitlines()


def words_of(lines: list[str]) -> set[str]:
    return {word for line in lines for word in re.split(r"[\s│┃|]+", line)}


def offline(capture: str) -> dict[str, tuple[str, ...]]:
    return {
        "plan": ("plan", capture, "--instances", "2,4,60"),
        "verify": ("verify", capture, "--table2"),
        "verify, differences": ("verify", capture, "--no-shadow"),
        "granularity": ("granularity",),
        "nf show": ("nf", "show", "kitsune"),
        "nf list": ("nf", "list"),
        "bench": ("bench", "--list"),
    }


@pytest.fixture(scope="module")
def capture(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("capture") / "some.pcap"
    write_capture(path, 3000, 500)
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(offline("")))
def test_on_a_terminal_of_80_columns_the_words_are_those_of_the_pipe(name, capture):
    words = offline(capture)[name]
    wide, narrow = in_a_pipe(*words), on_a_terminal(*words)
    assert wide
    assert not any("…" in line for line in (*wide, *narrow))
    assert max((len(line) for line in narrow if line[:1] in FRAME), default=0) <= WIDTH, "the terminal breaks sentences, not tables"
    lost = {word for word in words_of(wide) - words_of(narrow) if len(word) < WIDTH / 2 and re.search(r"\w", word)}
    assert not lost


@pytest.mark.slow
@pytest.mark.parametrize("name", ["status", "flows", "top"])
def test_the_running_system_is_shown_whole(name, controller):  # noqa: F811
    host, port = controller
    words = (name, "--rest", f"{host}:{port}", *(["--once"] if name == "top" else []))
    wide, narrow = in_a_pipe(*words), on_a_terminal(*words)
    assert max((len(line) for line in narrow if line[:1] in FRAME), default=0) <= WIDTH, "the terminal breaks sentences, not tables"
    assert not any("…" in line for line in (*wide, *narrow))
    assert not {word for word in words_of(wide) - words_of(narrow) if re.search(r"\w", word)}
    if name == "flows":
        assert {"table", "owner", "7700"} <= words_of(narrow)
        return
    assert {BRICK["id"], "deadline", "reordered", "00000000000000aa;"} <= words_of(narrow)
    assert any("CPU of quota" in line and "reordered" in line for line in wide), "side by side"
    assert any(BRICK["id"] in line and "812" in line and "slow" in line for line in wide)


def test_a_terminal_without_unicode_gets_the_table_too(controller):  # noqa: F811
    host, port = controller
    lines = in_a_pipe("status", "--rest", f"{host}:{port}", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert any(BRICK["id"] in line for line in lines)
