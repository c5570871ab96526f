"""A running system of an experiment's own: started and ended with the experiment, asked over REST, waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lego_sdn.adapters.rpc.calls import Client
from lego_sdn.core.facts.config import Config
from lego_sdn.core.facts.errors import HostError
from lego_sdn.system.local import System

READY_S = 60.0
LOOK_S = 0.02
ENTRANCE = ((0, "base"), (0, "stamps"))  # table and role of the rules of which every packet from outside meets one first


class Live:
    """A context manager: inside it `instances` instances run, their rules in force.

    paused  whether scaling happens only when asked for (`ask`)
    """

    def __init__(self, config: Config, scores: Path | None = None, say: Callable[[str], None] = lambda line: None) -> None:
        self.system = System(config, say=say, scores=scores)
        self.instances, self.steered, self.paused = config.scaling.min_instances, True, True
        self._rest = ExitStack()

    def __enter__(self) -> Live:
        if self.system.scores is not None:
            self.system.scores.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            stack.enter_context(self.system)
            if self.paused:
                self.ask("pause")
            self.await_ready()
            self._rest = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._rest.close()

    @property
    def agent(self) -> Client:
        return self.system.agent

    def get(self, path: str) -> dict[str, Any]:
        """What the controller shows. HostError if it does not answer, with its last words if it has ended."""
        try:
            return self.system.ask("GET", path)
        except HostError:
            if self.steered:
                self.system.check()
            raise

    def ask(self, command: str, **body: Any) -> None:
        """Have the controller do something. Refused if it will not, HostError if it does not answer."""
        self.system.ask("POST", command, body)

    def end_controller(self) -> None:
        """End the controller alone (`steered` says whether there is one); rules and instances stay."""
        self.system.end_controller()
        self.steered = False

    def await_ready(self) -> None:
        """Until the instances run with their rules in force. HostError if that does not come."""
        self.wait_for(f"instances in force: {self.instances}", lambda: self.settled(self.instances))

    def settled(self, instances: int) -> bool:
        """Whether so many instances run, with their rules in force and nothing being changed."""
        shown = self.get("status")
        running = [one["phase"] for one in shown["instances"]] == ["running"] * instances
        return running and shown["change"] is None and shown["rules"]["in_force"] == shown["rules"]["version"]

    def entered(self) -> int:
        """Packets that the rules have seen. A port's own counter is its interface's: what is lost between it and the rules is in there."""
        return sum(row["packets"] for row in self.get("flows")["flows"] if (row["table"], row["role"]) in ENTRANCE)

    def wait_for(self, what: str, is_so: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None) -> None:
        """Until it is so; HostError if it does not become so."""
        deadline = time.monotonic() + READY_S
        while not is_so():
            self.system.check()
            if time.monotonic() > deadline:
                raise HostError(f"'{what}' did not come true within {READY_S:g} s; see the logs in {self.system.run_dir}")
            meanwhile()
            time.sleep(LOOK_S)
