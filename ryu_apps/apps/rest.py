"""REST on Ryu's WSGI server: inspection and control, JSON throughout, errors as {"error", "detail"}."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from ryu.app.wsgi import ControllerBase, Response, WSGIApplication
from ryu.base import app_manager
from ryu.cfg import CONF

from lego_sdn.core.facts.json_text import json_text
from lego_sdn.core.facts.text import printable
from ryu_apps.context.shared import Shared, Withdrawn
from ryu_apps.doors.rest_bounds import COMMANDS, LONGEST_TEXT, RestRefused, body_of, command, query_of, whole_of
from ryu_apps.openflow.connection import SwitchError
from ryu_apps.views import metrics, status, switch_views

PREFIX = "/lego/v1/"
NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
EVERYWHERE = frozenset({"0.0.0.0", "::"})


View = Callable[[Shared, Mapping[str, str]], dict[str, Any]]

VIEWS: dict[str, View] = {
    "status": lambda shared, _: status.status(shared),
    "granularity": lambda shared, _: status.granularity(shared),
    "graph": lambda shared, _: status.graph(shared),
    "bricks": lambda shared, _: status.bricks(shared),
    "assignment": lambda shared, _: switch_views.assignment(shared),
    "flows": lambda shared, _: switch_views.flows(shared),
    "switches": lambda shared, _: switch_views.switches(shared),
    "events": lambda shared, query: status.events(shared, whole_of(query, "after", 0, 1 << 62), whole_of(query, "limit", 1000, 10_000)),
    "moves": lambda shared, query: status.moves(shared, whole_of(query, "limit", 100, 1000)),
    "alerts": lambda shared, query: status.alerts(shared, whole_of(query, "limit", 100, 1000)),
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
        except RestRefused as refused:
            response = _json(refused.status, {"error": refused.error, "detail": str(refused)})
            if isinstance(refused, WrongMethod):
                response.headers["Allow"] = refused.allowed
            return response
        except Withdrawn as error:
            return _json(503, {"error": "no answer yet", "detail": str(error)})
        except SwitchError as error:
            return _json(503, {"error": "no answer from the switch", "detail": str(error)})

    def _route(self, request, path: str) -> tuple[int, dict[str, Any]]:
        name = path.removeprefix(PREFIX).rstrip("/") if path.startswith(PREFIX) else ""
        if name in VIEWS:
            _only(request, "GET")
            return 200, VIEWS[name](self.shared, query_of(request))
        if name in COMMANDS:
            _only(request, "POST")
            self._only_from_whom_it_may_come(request)
            if request.content_type != "application/json":  # what a page of another site cannot send unasked
                raise RestRefused(415, "unsupported media type", f"{name} wants Content-Type: application/json")
            return self._command(name, body_of(request))
        known = ", ".join([*VIEWS, *COMMANDS])
        raise RestRefused(404, "not found", f"there is no {_repeated(path)}; under {PREFIX} there are {known}, and there is /metrics")

    def _command(self, name: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        reason = self.shared.command(command(name, body, self.shared.config.buckets))
        if reason is not None:
            raise RestRefused(409, f"{name} refused", reason)
        return 202, {"accepted": name, "events": f"{PREFIX}events"}

    def _only_from_whom_it_may_come(self, request) -> None:
        """Commands are root's, the controller's own user's, and theirs whom the configuration names."""
        at = request.environ
        reason = self.shared.commanders.refusal((at["REMOTE_ADDR"], int(at["REMOTE_PORT"])), (at["SERVER_NAME"], int(at["SERVER_PORT"])))
        if reason is not None:
            raise RestRefused(403, "forbidden", reason)


class WrongMethod(RestRefused):
    def __init__(self, path: str, found: str, allowed: str) -> None:
        super().__init__(405, "method not allowed", f"{path} answers {allowed}, not {found}")
        self.allowed = allowed


def _not_from_a_foreign_page(request, configured: str) -> None:
    """Refused if a browser asks for a page of somebody else's, be it under a name that was made to lead here (DNS rebinding)."""
    host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
    if host and not is_ours(host, {configured, CONF.wsapi_host}):
        raise RestRefused(
            403, "forbidden", f"this controller is not called {_repeated(host)}: ask it as localhost, or as it is configured (rest.host)"
        )
    if origin is not None and origin.partition("://")[2] != host:
        raise RestRefused(403, "forbidden", f"a page of {_repeated(origin)} may not ask this controller")


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


def _only(request, method: str) -> None:
    if request.method != method and not (method == "GET" and request.method == "HEAD"):
        raise WrongMethod(request.path, request.method, method)


def _json(status: int, data: Any) -> Response:
    return Response(status=status, body=json_text(data).encode(), content_type="application/json")


def _repeated(text: str) -> str:
    """What an answer repeats of a request."""
    return printable(text, LONGEST_TEXT)
