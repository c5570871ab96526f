"""Attacks on REST from outside: who may command, what is taken, and how long anybody may keep a connection."""

from __future__ import annotations

import contextlib
import itertools
import json
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.ryu_apps.doors.test_openflow_door import NOBODY, ends
from tests.ryu_apps.lab import JSON, Lab, lab, until

AT_ONCE_S = 1.0
SLOW = 1100
HEAD = b"POST /lego/v1/pause HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BEGINNINGS = (b"", b"GET /lego/v1/sta", HEAD, HEAD + b"Content-Length: 100\r\n\r\n{")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A controller with nothing around it."""
    with lab(tmp_path_factory.mktemp("restdoor")) as made:
        made.start_controller()
        yield made


@pytest.fixture
def descriptors():
    """Enough of them for this process to be an attacker."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def raw(made: Lab, data: bytes, seconds: float = 15.0) -> tuple[int, bytes]:
    """Status and body of what is answered to these very bytes; (0, b"") where the connection ends without a word."""
    got = b""
    with socket.create_connection(("127.0.0.1", made.rest), timeout=seconds) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(data)
        while more := connection.recv(65536):
            got += more
    head, _, body = got.partition(b"\r\n\r\n")
    return int(head.split()[1]) if head else 0, body


def plain(answer: str) -> bool:
    return "Traceback" not in answer and ".py" not in answer and "site-packages" not in answer


LONG = "9" * 5000
DEEP = "[" * 60_000
BODIES = [
    *(f'{{"instance": {number}}}' for number in ("1180591620717411303424", LONG, "-1", "0", "1000", "1e400", "true", '"1"', "[]", DEEP)),
    *(f'{{"instance": 1, "buckets": [{number}]}}' for number in ("64", "-1", LONG, "1.5", "null", '"0"')),
    *(f'{{"assignment": {{"{owner}": [1]}}}}' for owner in (LONG, "0", "1000", "-1", "\\u0661", "1e3", " 1")),
    *(f'{{"assignment": {{"1": {buckets}}}}}' for buckets in ("[64]", "[-1]", f"[{LONG}]", "[[[]]]", "7")),
    *(f'{{"brick": {json.dumps(text)}}}' for text in ("\ud800", "a\nb", "\x1b[31m", "\x00", "é", "x" * 101, "\x7f")),
    DEEP,
    '{"a":' * 9_000,
    "[" * 900 + "]" * 900,
    f'{{"buckets": {"[" * 900 + "]" * 900}}}',
    "NaN",
    '{"' + "k" * 5000 + '": 1}',
]


@pytest.mark.parametrize("name", ["replicate", "merge", "move"])
def test_what_is_out_of_bounds_is_refused_with_a_sentence(alone: Lab, name):
    for body in BODIES:
        answer = alone.ask(f"/lego/v1/{name}", "POST", body.encode(), JSON)
        assert answer.status == 400, (body[:80], answer)
        assert set(answer.body) == {"error", "detail"}
        assert len(answer.body["detail"]) < 400
        assert plain(answer.body["detail"])
    assert alone.running["controller"].poll() is None


def test_bodies_that_are_no_text_are_refused(alone: Lab):
    for body in (b"\xff\xfe", b"\x00", b'{"brick": "\xff"}', b"\xed\xa0\x80"):
        assert alone.ask("/lego/v1/replicate", "POST", body, JSON).status == 400


@pytest.mark.parametrize(
    "query", [f"limit={LONG}"[:3000], "limit=%ff", "limit=-1", "limit=%D9%A1", "limit=1e3", "limit=", "after=" + "9" * 30]
)
@pytest.mark.parametrize("name", ["events", "alerts", "moves"])
def test_queries_are_bounded(alone: Lab, name, query):
    if query.startswith("after") and name != "events":
        return
    answer = alone.ask(f"/lego/v1/{name}?{query}")
    assert (answer.status, answer.body["error"]) == (400, "bad request")
    assert plain(answer.body["detail"])


@pytest.mark.parametrize("path", ["/%ff", "/lego/v1/%ff", "/%00", "/lego/v1/status/%c3%28", "/" + "a" * 3000, "//x//", "/lego/v1/{path}"])
def test_no_path_gets_an_inside_view(alone: Lab, path):
    answer = alone.ask(path)
    assert answer.status in (400, 404)
    assert plain(str(answer.body))
    assert len(str(answer.body)) < 600


@pytest.mark.parametrize(
    "more", [b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"Transfer-Encoding: identity\r\n"]
)
def test_a_body_in_chunks_is_refused(alone: Lab, more):
    status, body = raw(alone, HEAD + more + b"\r\n2\r\n{}\r\n0\r\n\r\n")
    assert status in (400, 411), body
    endless = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    assert raw(alone, HEAD + more + b"\r\n" + endless * 20)[0] in (0, 400, 411)
    assert not alone.get("status")["paused"]


@pytest.mark.parametrize("length", ["-1", "+2", "2_0", "0x2", "2 2", LONG, "99999999999", "65537"])
def test_a_body_has_a_possible_length(alone: Lab, length):
    status, body = raw(alone, HEAD + f"Content-Length: {length}\r\n\r\n{{}}".encode())
    assert status in (400, 413), body
    assert not alone.get("status")["paused"]


@pytest.mark.slow
def test_a_body_that_does_not_come_is_not_waited_for(alone: Lab):
    began = time.monotonic()
    assert raw(alone, HEAD + b"Content-Length: 20\r\n\r\n{}")[0] in (0, 400, 408)
    assert time.monotonic() - began < 10
    assert not alone.get("status")["paused"]


@contextlib.contextmanager
def slow_ones(made: Lab, count: int) -> Iterator[list[socket.socket]]:
    """Connections that begin a request in every way, in turn, and go no further."""
    with contextlib.ExitStack() as stack:
        held = []
        for beginning in itertools.islice(itertools.cycle(BEGINNINGS), count):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", made.rest), timeout=10))
            with contextlib.suppress(ConnectionError):
                connection.sendall(beginning)
            held.append(connection)
        yield held


@pytest.mark.slow
def test_slow_connections_are_ended_and_keep_nobody_waiting(alone: Lab, descriptors):
    with slow_ones(alone, SLOW) as held:
        for _ in range(5):
            began = time.monotonic()
            assert alone.ask("/lego/v1/status").status == 200
            assert alone.ask("/metrics").status == 200
            assert time.monotonic() - began < 2 * AT_ONCE_S
            for connection in held[-200:]:
                with contextlib.suppress(OSError):
                    connection.sendall(b"x")
        assert all(ends(connection, 12.0) for connection in held[-20:])


@pytest.mark.slow
@pytest.mark.parametrize("cut", [b"", b"Content-Length: 2\r\n", b"Content-Len"])
def test_a_request_that_breaks_off_is_not_carried_out(alone: Lab, cut):
    with socket.create_connection(("127.0.0.1", alone.rest)) as connection:
        connection.sendall(HEAD + cut)
        connection.shutdown(socket.SHUT_WR)
        assert ends(connection)
    assert not alone.get("status")["paused"]


@pytest.mark.slow
def test_who_drips_is_ended_too(alone: Lab):
    with socket.create_connection(("127.0.0.1", alone.rest)) as connection:
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < 15:
                connection.sendall(b"x")
                time.sleep(0.2)
        assert time.monotonic() - began < 12


@pytest.mark.slow
def test_who_does_not_read_the_answers_is_ended(alone: Lab):
    with socket.create_connection(("127.0.0.1", alone.rest)) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(90)
        request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < 90:
                connection.sendall(request * 50)
        assert time.monotonic() - began < 90
    assert alone.ask("/lego/v1/status").status == 200


ASKS = """
import json, sys, urllib.error, urllib.request
def ask(path, body=None):
    request = urllib.request.Request("http://127.0.0.1:{port}" + path, body, {{"Content-Type": "application/json"}})
    try:
        return urllib.request.urlopen(request, timeout=10).status
    except urllib.error.HTTPError as error:
        assert set(json.loads(error.read())) == {{"error", "detail"}}
        return error.code
commands = ("pause", "resume", "replicate", "merge", "move")
print([ask("/lego/v1/status"), ask("/metrics")], [ask("/lego/v1/" + name, b"{{}}") for name in commands])
"""


def as_nobody(made: Lab) -> str:
    code = ASKS.format(port=made.rest)
    return subprocess.run([*NOBODY, sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.root
def test_another_user_may_look_and_not_command(alone: Lab, tmp_path):
    assert as_nobody(alone) == "[200, 200] [403, 403, 403, 403, 403]\n"
    assert not alone.get("status")["paused"]
    with lab(tmp_path) as made:
        made.settings["rest"] = {"port": made.rest, "users": ["nobody"]}
        made.start_controller()
        assert as_nobody(made) == "[200, 200] [202, 202, 409, 409, 400]\n"


GOES = """
import socket, sys
s = socket.create_connection(("127.0.0.1", {port}))
s.sendall({request!r})
s.close()
"""


@pytest.mark.root
def test_a_socket_that_is_closed_is_not_root_s(alone: Lab):
    """The kernel's table shows one without an owner as user 0's."""
    request = HEAD + b"Content-Length: 2\r\n\r\n{}"
    for _ in range(20):
        code = GOES.format(port=alone.rest, request=request)
        subprocess.run([*NOBODY, sys.executable, "-c", code], timeout=60, check=True)
    time.sleep(0.5)
    assert not alone.get("status")["paused"]


@pytest.mark.slow
def test_who_runs_it_may_command(alone: Lab):
    assert alone.post("pause").status == 202
    until(lambda: alone.get("status")["paused"], "it is paused")
    assert alone.post("resume").status == 202
