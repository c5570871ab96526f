"""REST on Ryu's WSGI server: inspection and control, JSON throughout, errors as {"error", "detail"}."""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from ryu.app.wsgi import ControllerBase, Response, WSGIApplication
from ryu.base import app_manager
from ryu.cfg import CONF

from lego_sdn.core.errors import LegoError
from lego_sdn.core.events import Command
from ryu_apps import metrics, switch_views, views
from ryu_apps.shared import Shared, Withdrawn
from ryu_apps.switch import SwitchError

PREFIX = "/lego/v1/"
LONGEST_BODY = 1 << 16
NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
EVERYWHERE = frozenset({"0.0.0.0", "::"})


class Refused(LegoError):
    """A request that is not answered; `status` is HTTP's."""

    def __init__(self, status: int, error: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.error = status, error


View = Callable[[Shared, Mapping[str, str]], dict[str, Any]]

VIEWS: dict[str, View] = {
    "status": lambda shared, _: views.status(shared),
    "granularity": lambda shared, _: views.granularity(shared),
    "graph": lambda shared, _: views.graph(shared),
    "bricks": lambda shared, _: views.bricks(shared),
    "assignment": lambda shared, _: switch_views.assignment(shared),
    "flows": lambda shared, _: switch_views.flows(shared),
    "switches": lambda shared, _: switch_views.switches(shared),
    "events": lambda shared, query: views.events(shared, _whole(query, "after", 0, 1 << 62), _whole(query, "limit", 1000, 10_000)),
    "moves": lambda shared, query: views.moves(shared, _whole(query, "limit", 100, 1000)),
    "alerts": lambda shared, query: views.alerts(shared, _whole(query, "limit", 100, 1000)),
}

# command -> keys of its body: (name, wanted)
COMMANDS: dict[str, frozenset[str]] = {
    "replicate": frozenset({"instance", "brick"}),
    "merge": frozenset({"instance", "brick"}),
    "move": frozenset({"buckets", "instance", "assignment"}),
    "pause": frozenset(),
    "resume": frozenset(),
}


class Rest(app_manager.RyuApp):
    """Every path goes to one controller, so that unknown ones are answered in JSON too."""

    _CONTEXTS = {"lego": Shared, "wsgi": WSGIApplication}  # noqa: RUF012 (Ryu's declaration)

    def __init__(self, *args, lego: Shared, wsgi: WSGIApplication, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        wsgi.registory[Pages.__name__] = lego
        wsgi.mapper.connect("lego", "/{path:.*}", controller=Pages, action="answer")


class Pages(ControllerBase):
    """Made by Ryu for each request."""

    def __init__(self, request, link, data: Shared, **config) -> None:
        super().__init__(request, link, data, **config)
        self.shared = data

    def answer(self, request, path: str = "", **_) -> Response:
        try:
            _not_from_a_foreign_page(request, self.shared.config.rest.host)
            if "/" + path == "/metrics":
                _only(request, "GET")
                return Response(body=metrics.page(self.shared), content_type=metrics.CONTENT_TYPE)
            return _json(*self._route(request, "/" + path))
        except Refused as refused:
            response = _json(refused.status, {"error": refused.error, "detail": str(refused)})
            if isinstance(refused, WrongMethod):
                response.headers["Allow"] = refused.allowed
            return response
        except Withdrawn as error:
            return _json(503, {"error": "no answer yet", "detail": str(error)})
        except SwitchError as error:
            return _json(503, {"error": "no answer from the switch", "detail": str(error)})
        except LegoError as error:
            return _json(500, {"error": "cannot be told", "detail": str(error)})

    def _route(self, request, path: str) -> tuple[int, dict[str, Any]]:
        name = path.removeprefix(PREFIX).rstrip("/") if path.startswith(PREFIX) else ""
        if name in VIEWS:
            _only(request, "GET")
            return 200, VIEWS[name](self.shared, request.GET)
        if name in COMMANDS:
            _only(request, "POST")
            if request.content_type != "application/json":  # what a page of another site cannot send unasked
                raise Refused(415, "unsupported media type", f"{name} wants Content-Type: application/json")
            return self._command(name, _body(request))
        known = ", ".join([*VIEWS, *COMMANDS])
        raise Refused(404, "not found", f"there is no {path}; under {PREFIX} there are {known}, and there is /metrics")

    def _command(self, name: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        reason = self.shared.command(command(name, body))
        if reason is not None:
            raise Refused(409, f"{name} refused", reason)
        return 202, {"accepted": name, "events": f"{PREFIX}events"}


class WrongMethod(Refused):
    def __init__(self, path: str, found: str, allowed: str) -> None:
        super().__init__(405, "method not allowed", f"{path} answers {allowed}, not {found}")
        self.allowed = allowed


def command(name: str, body: Mapping[str, Any]) -> Command:
    """The command that a request's body describes. Raises Refused (400), naming the key that is wrong."""
    wrong = sorted(set(body) - COMMANDS[name])
    if wrong:
        known = ", ".join(sorted(COMMANDS[name])) or "none"
        raise Refused(400, "bad request", f"{name} has no key {wrong[0]!r}; its keys: {known}")
    instance, buckets, brick = body.get("instance"), body.get("buckets", []), body.get("brick")
    if instance is not None and not _is_whole(instance):
        raise Refused(400, "bad request", f"instance: wanted a number, found {instance!r}")
    if not isinstance(buckets, list) or not all(_is_whole(bucket) for bucket in buckets):
        raise Refused(400, "bad request", f"buckets: wanted a list of numbers, found {buckets!r}")
    if brick is not None and not isinstance(brick, str):
        raise Refused(400, "bad request", f"brick: wanted a kind to replicate, or the id of a replica to merge, found {brick!r}")
    if name == "replicate" and instance is not None and brick is None:
        raise Refused(400, "bad request", "replicate wants the kind of a brick along with an instance")
    assignment = _assignment(body.get("assignment", {}))
    if name == "move" and (instance is None or not buckets) == (not assignment):
        raise Refused(400, "bad request", 'move wants {"buckets": [numbers], "instance": number}, or {"assignment": {instance: [numbers]}}')
    return Command(name, instance, tuple(buckets), brick, assignment)  # type: ignore[arg-type]


def _assignment(given: Any) -> tuple[tuple[int, int], ...]:
    """(bucket, new owner), of a map from instances to buckets; no bucket twice."""
    fits = isinstance(given, dict) and all(owner.isdecimal() and isinstance(buckets, list) for owner, buckets in given.items())
    pairs = [(bucket, int(owner)) for owner, buckets in given.items() for bucket in buckets] if fits else []
    if not fits or not all(_is_whole(bucket) for bucket, _ in pairs):
        raise Refused(400, "bad request", f"assignment: wanted a map from instances to lists of buckets, found {given!r}")
    if len(dict(pairs)) != len(pairs):
        raise Refused(400, "bad request", "assignment: a bucket is given to two instances, or twice")
    return tuple(sorted(pairs))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _body(request) -> dict[str, Any]:
    if (request.content_length or 0) > LONGEST_BODY:
        raise Refused(413, "too large", f"a body has at most {LONGEST_BODY} bytes")
    if not request.body.strip():
        return {}
    try:
        body = json.loads(request.body)
    except ValueError as error:
        raise Refused(400, "bad request", f"the body is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise Refused(400, "bad request", "the body is no JSON object")
    return body


def _not_from_a_foreign_page(request, configured: str) -> None:
    """Refused if a browser asks for a page of somebody else's, be it under a name that was made to lead here (DNS rebinding)."""
    host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
    if host and not is_ours(host, {configured, CONF.wsapi_host}):
        raise Refused(403, "forbidden", f"this controller is not called {host}: ask it as localhost, or as it is configured (rest.host)")
    if origin is not None and origin.partition("://")[2] != host:
        raise Refused(403, "forbidden", f"a page of {origin} may not ask this controller")


def is_ours(host: str, configured: Collection[str]) -> bool:
    """Whether a Host header names this controller. Where it listens on every address, so do they all, and the name of this machine."""
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    if name in NAMES or name in {one.lower() for one in configured}:
        return True
    return not EVERYWHERE.isdisjoint(configured) and (_is_address(name) or name == socket.gethostname().lower())


def _is_address(name: str | None) -> bool:
    try:
        ipaddress.ip_address(name or "")
    except ValueError:
        return False
    return True


def _whole(query: Mapping[str, str], key: str, default: int, most: int) -> int:
    written = query.get(key, str(default))
    if not written.isascii() or not written.isdecimal() or int(written) > most:
        raise Refused(400, "bad request", f"{key}: wanted a whole number up to {most}, found {written!r}")
    return int(written)


def _only(request, method: str) -> None:
    if request.method != method and not (method == "GET" and request.method == "HEAD"):
        raise WrongMethod(request.path, request.method, method)


def _json(status: int, data: Any) -> Response:
    return Response(status=status, body=json.dumps(data).encode(), content_type="application/json")
