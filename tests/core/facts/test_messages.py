"""Each message that a process registers has a row in a table, and each row is a message."""

from __future__ import annotations

import inspect
from types import SimpleNamespace

import pytest

from bricks.service.calls import Northbound
from bricks.service.forkserver import Warm
from lego_sdn.agent.server import CALLS, Agent
from lego_sdn.core.facts.messages import AGENT, BRICK, WARM, Signature


def registered():
    process = SimpleNamespace(spec=SimpleNamespace(buckets=1, replicas={}, cgroup=()), stages=[])
    yield from ((name, handler, BRICK) for name, handler in Northbound(process, print, print).handlers().items())
    agent = {name: getattr(Agent, name) for name in CALLS} | {"instances": Agent.list_instances, "shutdown": Agent.shutdown}
    yield from ((name, handler.__get__(object()), AGENT) for name, handler in agent.items())
    yield from ((name, getattr(Warm, name).__get__(object()), WARM) for name in ("preload", "fork", "exits"))


def test_tables_and_handlers_name_the_same_messages():
    found = [(name, id(table)) for name, _, table in registered()]
    assert sorted(found) == sorted((name, id(table)) for table in (AGENT, BRICK, WARM) for name in table)


@pytest.mark.parametrize(("name", "handler", "table"), [pytest.param(*row, id=row[0]) for row in registered()])
def test_a_row_has_as_many_arguments_as_its_handler(name, handler, table):
    signature: Signature = table[name]
    parameters = inspect.signature(handler).parameters.values()
    needed = [one for one in parameters if one.default is inspect.Parameter.empty]
    assert len(signature.takes) == len(parameters)
    assert len(needed) <= len(signature.takes) - signature.optional
