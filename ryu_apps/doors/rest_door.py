"""Takes the place of Ryu's WSGI server: a request has to arrive in time and within bounds, and an error says nothing of the inside."""

from __future__ import annotations

import functools
import io
import json
import logging
import traceback
from collections.abc import Callable, Iterable
from typing import Any

import eventlet
import eventlet.wsgi
from ryu.app import wsgi
from ryu.lib import hub

from lego_sdn.adapters.rpc.complaints import Complaints
from lego_sdn.core.facts.errors import LegoError
from ryu_apps.doors.door import Door

LOG = logging.getLogger("lego.rest")
CONNECTIONS = 128
LONGEST_BODY = 1 << 16  # bytes
LONGEST_LINE = 1 << 12  # bytes of a request's first line
READ_S, STEP_S, ANSWER_S = 5.0, 5.0, 60.0  # for a request to arrive whole; for a socket to take any byte; for all of an answer
REFUSED = "lego.refused"  # in WSGI's environment: why a request is answered before anybody looks at it

Problem = tuple[int, str, str]  # HTTP's status, error, detail


class RequestLines:
    """A file whose lines are read, and which line was the last."""

    def __init__(self, file: Any) -> None:
        self.file, self.last = file, b"?"

    def readline(self, *size: int) -> bytes:
        self.last = self.file.readline(*size)
        return self.last


class RequestReader(eventlet.wsgi.HttpProtocol):
    """Reads a request and its body before anything is done about it."""

    def __init__(self, door: Door, state: list, server: Any) -> None:
        self.door = door
        super().__init__(state, server)

    def handle_one_request(self) -> None:
        self.door.waits(self.client_address, self.request)
        self.clock = eventlet.Timeout(READ_S, TimeoutError())  # what is raised where eventlet expects a silent socket's
        try:
            super().handle_one_request()
        finally:
            self.clock.cancel()

    def parse_request(self) -> bool:
        """Whether there is a request. One whose connection ends within its headers is none: Python takes the end for an empty line."""
        lines = self.rfile = RequestLines(self.rfile)
        there = super().parse_request()
        if there and not lines.last:
            self.close_connection = True
            return False
        return there

    def get_environ(self) -> dict[str, Any]:
        environ = super().get_environ()
        problem = self._take_body(environ)
        if problem is not None:
            environ[REFUSED] = problem
            self.close_connection = True  # what is still to come of the body is not read
        self.clock.cancel()
        self.door.serves(self.client_address)
        return environ

    def handle_one_response(self) -> None:
        with eventlet.Timeout(ANSWER_S, TimeoutError()):
            super().handle_one_response()

    def finish(self) -> None:
        self.door.leaves(self.client_address)
        try:
            super().finish()
        except OSError:  # what was still to be written is not taken: nothing may keep the connection then
            self.rfile.close()
            self.wfile.detach().close()
            self.request.close()

    def log_message(self, *_: Any) -> None:
        """Who sends nonsense does not fill the log."""

    def _take_body(self, environ: dict[str, Any]) -> Problem | None:
        if "HTTP_TRANSFER_ENCODING" in environ:
            return 411, "length required", "a body says its length (Content-Length), and is not sent in chunks"
        length = environ.get("CONTENT_LENGTH") or "0"
        if not (length.isascii() and length.isdecimal() and len(length) < 20):
            return 400, "bad request", "Content-Length: wanted a number of bytes"
        if int(length) > LONGEST_BODY:
            return 413, "too large", f"a body has at most {LONGEST_BODY} bytes"
        body = environ["wsgi.input"].read(int(length))
        if len(body) < int(length):
            return 400, "bad request", "the body is shorter than its Content-Length"
        environ["wsgi.input"] = io.BytesIO(body)
        return None


class Application:
    """A WSGI application whose errors are logged here and told there in one sentence."""

    def __init__(self, application: Callable[..., Iterable[bytes]], complaints: Complaints) -> None:
        self.application, self.complaints = application, complaints

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if REFUSED in environ:
            return _answer(start, *environ[REFUSED])
        try:
            return self.application(environ, start)
        except UnicodeError:
            return _answer(start, 400, "bad request", "the address is no UTF-8")
        except LegoError as error:
            self.complaints.say(f"a request could not be answered: {error}")
            return _answer(start, 500, "cannot be told", "the controller could not read what it needs; its log says why")
        except Exception:
            self.complaints.say(f"a request could not be answered:\n{traceback.format_exc()}")
            return _answer(start, 500, "internal error", "the controller could not answer; its log says why")


def _answer(start: Callable[..., Any], status: int, error: str, detail: str) -> Iterable[bytes]:
    body = json.dumps({"error": error, "detail": detail}).encode()
    start(f"{status} {error.title()}", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def install(complaints: Complaints) -> None:
    """From now on Ryu serves REST by this door's rules. GET may be asked by anybody who reaches the port: nobody is refused here."""

    class Server(hub.WSGIServer):
        def serve_forever(self) -> None:
            door = Door(self.server, CONNECTIONS, lambda remote, local: None, complaints)
            eventlet.wsgi.server(
                Listening(door),
                Application(self.handle, Complaints(LOG.error)),
                log_output=False,
                debug=False,
                max_size=4 * CONNECTIONS,  # the door keeps fewer; those that it expelled may take a moment to end
                url_length_limit=LONGEST_LINE,
                socket_timeout=STEP_S,
                protocol=functools.partial(RequestReader, door),
            )

        def __call__(self) -> None:
            self.serve_forever()

    wsgi.WSGIServer = lambda application: Server((wsgi.CONF.wsapi_host, wsgi.CONF.wsapi_port), application)


class Listening:
    """A door as eventlet's server wants its socket."""

    def __init__(self, door: Door) -> None:
        self.door, self.accept = door, door.accept

    def __getattr__(self, name: str) -> Any:
        return getattr(self.door.listener, name)
