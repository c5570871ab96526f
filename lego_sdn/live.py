"""A running system of an experiment's own: started and ended with the experiment, asked over REST, waited for."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lego_sdn.adapters.rpc import Client
from lego_sdn.core.config import Config
from lego_sdn.core.errors import HostError
from lego_sdn.system import System

READY_S = 60.0
LOOK_S = 0.02


class Live:
    """A context manager: inside it `instances` instances run, their rules in force, and scaling happens only when asked for (`ask`)."""

    def __init__(self, config: Config, scores: Path | None = None, say: Callable[[str], None] = lambda line: None) -> None:
        self.system = System(config, say=say, scores=scores)
        self.instances, self.steered = config.scaling.min_instances, True
        self._rest = ExitStack()

    def __enter__(self) -> Live:
        if self.system.scores is not None:
            self.system.scores.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            stack.enter_context(self.system)
            self.ask("pause")
            self.wait_for(f"instances in force: {self.instances}", lambda: self.settled(self.instances))
            self._rest = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._rest.close()

    @property
    def agent(self) -> Client:
        return self.system.agent

    def get(self, path: str) -> dict[str, Any]:
        """What the controller shows. HostError if it does not answer."""
        return self._request(urllib.request.Request(f"{self.system.url}/{path}"))

    def ask(self, command: str, **body: Any) -> None:
        """Have the controller do something. HostError if it refuses."""
        headers = {"Content-Type": "application/json"}
        self._request(urllib.request.Request(f"{self.system.url}/{command}", json.dumps(body).encode(), headers))

    def end_controller(self) -> None:
        """End the controller alone (`steered` says whether there is one); rules and instances stay."""
        self.system.end_controller()
        self.steered = False

    def settled(self, instances: int) -> bool:
        """Whether so many instances run, with their rules in force and nothing being changed."""
        shown = self.get("status")
        running = [one["phase"] for one in shown["instances"]] == ["running"] * instances
        return running and shown["change"] is None and shown["rules"]["in_force"] == shown["rules"]["version"]

    def wait_for(self, what: str, is_so: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None) -> None:
        """Until it is so; HostError if it does not become so."""
        deadline = time.monotonic() + READY_S
        while not is_so():
            self.system.check()
            if time.monotonic() > deadline:
                raise HostError(f"'{what}' did not come true within {READY_S:g} s; see the logs in {self.system.run_dir}")
            meanwhile()
            time.sleep(LOOK_S)

    def _request(self, request: urllib.request.Request) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise HostError(f"the controller refused {request.selector}: {error.read().decode(errors='replace')}") from error
        except (OSError, ValueError) as error:
            raise HostError(f"the controller does not answer on {request.full_url} ({error})") from error
