"""A host over its agent's address, Unix or TCP: what is asked, and what comes back."""

from __future__ import annotations

import threading

import pytest

from lego_sdn.adapters.rpc.calls import Server
from lego_sdn.adapters.rpc.hosts import AgentHost
from lego_sdn.adapters.rpc.wire import free_port
from lego_sdn.core.facts.errors import HostError, RpcError

HELLO = {"host": "a", "cores": 4, "instances": [{"processes": [{"cpu_quota": 0.5}, {"cpu_quota": None}, {"cpu_quota": 3.0}]}]}


@pytest.fixture(params=["unix", "tcp"])
def asked(request, tmp_path):
    """(the host, what it was asked)"""
    address, calls, over = (
        str(tmp_path / "agent.sock") if request.param == "unix" else f"tcp:127.0.0.1:{free_port()}",
        [],
        threading.Event(),
    )

    def answer(name, result):
        return lambda *params: calls.append((name, *params)) or result

    def refuse(*params):
        raise HostError("no room")

    handlers = {"hello": answer("hello", HELLO), "start_instance": refuse, "stop_instance": answer("stop_instance", {"reports": []})}
    handlers |= {"separate": answer("separate", {"instance": 1}), "flush_cache": answer("flush_cache", 1.5)}
    with Server(address, handlers) as server:

        def serve():
            while not over.is_set():
                server.serve_once(0.05)

        thread = threading.Thread(target=serve)
        thread.start()
        yield AgentHost(address), calls
        over.set()
        thread.join()


def test_a_host_is_asked_over_either_kind_of_address(asked):
    host, calls = asked
    assert host.hello() == HELLO
    assert host.stop_instance(1, 20) == {"reports": []}
    assert host.regrow("separate", 1, "feature-mapping") == {"instance": 1}
    assert host.flush_cache() == 1.5
    assert calls == [("hello",), ("stop_instance", 1, 20), ("separate", 1, "feature-mapping"), ("flush_cache",)]
    with pytest.raises(RpcError, match="no room"):
        host.start_instance({"instance": 2})


def test_a_host_that_is_not_there_is_an_error():
    with pytest.raises(RpcError, match="cannot reach"):
        AgentHost("/nonexistent/agent.sock").hello()
