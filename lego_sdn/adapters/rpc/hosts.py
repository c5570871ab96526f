"""A host as the controller sees it: what its agent can be asked, wherever it runs.

The address is the agent's: a Unix socket's path or tcp:HOST:PORT. docs/reference/contract.md has the calls and answers. Whatever
implements `Host` can carry instances; `lego_sdn.core.cost.placement.Host` is the same host as the planner sees it.
"""

from __future__ import annotations

from typing import Any, Protocol

from lego_sdn.adapters.rpc.calls import Client

HELLO_S, START_S, STOP_S, REGROW_S, FLUSH_S = 5.0, 60.0, 30.0, 90.0, 10.0


class Host(Protocol):
    """Every call may raise RpcError: the host cannot be reached, or refuses, with its sentence."""

    def hello(self) -> dict[str, Any]:
        """Who it is, its cores, and everything that runs there."""

    def start_instance(self, spec: dict[str, Any]) -> dict[str, Any]:
        """A whole graph; the instance."""

    def stop_instance(self, instance: int, drain_ms: int, silent: tuple[str, ...] = ()) -> dict[str, Any]:
        """Its final load reports; of the silent processes there are none, and nobody waits for them."""

    def regrow(self, method: str, *params: Any) -> dict[str, Any]:
        """A change within an instance, by the agent's call for it (start_replica, separate, set_quota...); the instance as it is then."""

    def flush_cache(self) -> float:
        """Wait until the datapath's cached flows follow the rules; milliseconds."""


class AgentHost:
    """A host with an agent. Each call has a connection of its own, so that none waits for a slow start."""

    def __init__(self, address: str) -> None:
        self.address = address

    def hello(self) -> dict[str, Any]:
        return self._call("hello", timeout=HELLO_S)

    def start_instance(self, spec: dict[str, Any]) -> dict[str, Any]:
        return self._call("start_instance", spec, timeout=START_S)

    def stop_instance(self, instance: int, drain_ms: int, silent: tuple[str, ...] = ()) -> dict[str, Any]:
        return self._call("stop_instance", instance, drain_ms, *([list(silent)] if silent else []), timeout=STOP_S + drain_ms / 1000)

    def regrow(self, method: str, *params: Any) -> dict[str, Any]:
        return self._call(method, *params, timeout=REGROW_S)

    def flush_cache(self) -> float:
        return self._call("flush_cache", timeout=FLUSH_S)

    def _call(self, method: str, *params: Any, timeout: float) -> Any:
        with Client(self.address) as agent:
            return agent.call(method, *params, timeout=timeout)

    def __repr__(self) -> str:
        return f"<AgentHost {self.address}>"
