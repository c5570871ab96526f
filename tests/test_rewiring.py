"""A change within an instance that succeeds in the main tells what it could not do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from lego_sdn.core.errors import BrickError
from lego_sdn.rewiring import Rewiring
from lego_sdn.wiring import lay_out

GRAPH = ("packet-batching", "feature-quantization", "feature-mapping", "unsupervised-network", "sample-result")
NETWORK = "unsupervised-network"


class Processes:
    """Brick processes that answer every call but those of `deaf`."""

    def __init__(self, deaf: set[tuple[str, str]]) -> None:
        self.deaf, self.called, self.stopped = deaf, [], []
        self.belongings = SimpleNamespace(things=[], note=lambda *_, **__: None, remove=lambda _: None, of=lambda _: [])

    def call(self, name: str, method: str, *params: Any, timeout: float = 5.0) -> Any:
        self.called.append((name, method))
        if (name, method) in self.deaf:
            raise BrickError(f"{name} did not answer {method}")
        return {"process": name}

    def stop(self, name: str) -> None:
        self.stopped.append(name)


def test_what_fails_when_packets_go_the_new_way_already_is_told():
    grown, brick = lay_out(1, "run", GRAPH, "separate").with_replica(NETWORK)
    leaver, reader = grown.process_of(brick), grown.process_of("sample-result-0")
    processes = Processes({(leaver, "drain"), (reader, "inputs")})
    change = Rewiring(processes, grown, grown.without(brick)).carry_out()
    assert change.undone == [f"{leaver} did not answer drain", f"{reader} did not answer inputs"]
    assert (processes.stopped, change.reports) == ([leaver], [])
    assert Rewiring(Processes(set()), grown, grown.without(brick)).carry_out().undone == []
