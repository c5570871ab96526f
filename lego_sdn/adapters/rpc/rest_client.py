"""The controller's REST interface, as its clients ask it."""

from __future__ import annotations

import http.client
import json
from typing import Any

from lego_sdn.core.facts.errors import HostError
from lego_sdn.core.facts.text import printable, printable_in

TIMEOUT_S = 10.0


class RequestRefused(HostError):
    """The controller answered that it will not, or cannot; the text is its own."""


def request(address: tuple[str, int], method: str, name: str, body: Any = None, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    """What the controller answers. HostError if nobody answers there, Refused with its own words if it will not."""
    connection = http.client.HTTPConnection(*address, timeout=timeout_s)
    written = f"{address[0]}:{address[1]}"
    try:
        connection.request(method, f"/lego/v1/{name}", None if body is None else json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        status_code, text = response.status, response.read()
        answer = json.loads(text)
    except (OSError, http.client.HTTPException) as error:
        raise HostError(f"no controller answers on {written} ({error}): start it with 'lego up', or give --rest HOST:PORT") from error
    except ValueError as error:
        raise HostError(f"what answers on {written} is no LEGO controller: give --rest HOST:PORT") from error
    finally:
        connection.close()
    if status_code >= 400:
        raise RequestRefused(printable(f"{answer['error']}: {answer['detail']}"))
    return printable_in(answer)
