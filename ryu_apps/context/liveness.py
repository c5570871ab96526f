"""Liveness check: whether a brick process that does not answer is gone. A replica may have been merged since the agent was last asked."""

from __future__ import annotations

from lego_sdn.adapters.rpc.hosts import Host
from lego_sdn.core.facts.errors import RpcError
from ryu_apps.context.facts import ObservedProcess


def is_gone(process: ObservedProcess, host: Host) -> bool:
    """Whether its host knows for certain that there is no such process any more, though its instance runs."""
    try:
        instances = host.hello()["instances"]
    except RpcError:
        return False
    its = [one for one in instances if one["instance"] == process.instance and one["state"] == "running"]
    return bool(its) and process.pid not in [there["pid"] for one in its for there in one["processes"]]
