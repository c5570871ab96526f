"""The configuration: complete by default, and every wrong key named."""

from __future__ import annotations

import pytest

from lego_sdn.core.facts.config import Config, ForwardSettings, KeyProblem, ScalingSettings


def test_the_defaults_are_complete():
    config = Config()
    assert config == Config.parse(None) == Config.parse({})
    assert (config.buckets, config.switch.bridge, config.switch.openflow_host, config.rest.host) == (64, "lego0", "127.0.0.1", "127.0.0.1")
    assert config.agent == "/run/lego/agent.sock"
    assert Config(agent_socket="/tmp/a.sock").agent == "/tmp/a.sock"


def test_a_configuration_survives_the_way_through_plain_maps():
    config = Config.parse({"buckets": 32, "forward": {"mode": "wires", "wires": [["eth0", 2]]}, "scaling": {"max_instances": 3}})
    config = Config.parse(config.to_dict() | {"capture": {"stamps": "trailer", "stamp_ports": ["eth0", 3]}})
    assert config.capture.stamp_ports == ("eth0", 3)
    assert config.forward == ForwardSettings("wires", (("eth0", 2),))
    assert Config.parse(config.to_dict()) == config
    hash(config)


@pytest.mark.parametrize(
    ("data", "key", "says"),
    [
        ({"buckts": 1}, "buckts", "wanted a key that exists (agent_socket, audit, buckets,"),
        ({"buckets": 63}, "buckets", "wanted a power of two from 1 to 4096, found 63"),
        ({"buckets": True}, "buckets", "found True"),
        ({"exact": 1}, "exact", "wanted true or false, found 1"),
        ({"model": ""}, "model", "wanted a file name or null"),
        ({"scaling": {"high_water": 2}}, "scaling.high_water", "wanted a share above 0, up to 1, found 2"),
        ({"scaling": {"period_s": float("inf")}}, "scaling.period_s", "found inf"),
        ({"scaling": {"nope": 1}}, "scaling.nope", "cooldown_s, down_after"),
        ({"scaling": [1]}, "scaling", "wanted keys with values, found [1]"),
        ({"scaling": {"min_instances": 3, "max_instances": 2}}, "scaling.max_instances", "at least min_instances (3), found 2"),
        ({"scaling": {"low_water": 0.9}}, "scaling.low_water", "less than high_water"),
        ({"scaling": {"merge_target": 0.9}}, "scaling.merge_target", "less than high_water"),
        ({"buckets": 2}, "scaling.max_instances", "at most one per bucket (2), found 4"),
        ({"switch": {"datapath": "dpdk"}}, "switch.datapath", "one of auto, netdev, system"),
        ({"switch": {"bridge": "a-name-much-too-long"}}, "switch.bridge", "at most 15 characters"),
        ({"switch": {"openflow_port": 70000}}, "switch.openflow_port", "from 1 to 65535"),
        ({"forward": {"mode": "wires"}}, "forward.wires", "pairs of ports where mode is wires"),
        ({"forward": {"mode": "wires", "wires": [["a", "a"]]}}, "forward.wires", "each port once"),
        ({"forward": {"wires": [["a", "b"]]}}, "forward.wires", "none otherwise"),
        ({"capture": {"stamp_ports": ["a"]}}, "capture.stamp_ports", "null, unless stamps is trailer, found ['a']"),
        ({"capture": {"stamps": "trailer", "stamp_ports": []}}, "capture.stamp_ports", "one at least or null"),
        ({"capture": {"stamps": "trailer", "stamp_ports": ["a", "a"]}}, "capture.stamp_ports", "different ports"),
        ({"capture": {"block_bytes": 5000}}, "capture.block_bytes", "power of two"),
        ({"instance": {"cpu_quota": 0}}, "instance.cpu_quota", "or null, found 0"),
    ],
)
def test_what_is_wrong_is_named(data, key, says):
    with pytest.raises(KeyProblem) as caught:
        Config.parse(data)
    assert caught.value.key == key
    assert str(caught.value).startswith(f"{key}: wanted ")
    assert says in str(caught.value)


def test_a_section_made_by_hand_is_checked_too():
    with pytest.raises(KeyProblem, match="up_after: wanted a whole number"):
        ScalingSettings(up_after=0)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("switch", "users", "openvswitch"),
        ("switch", "users", [""]),
        ("switch", "users", [-1]),
        ("switch", "users", [True]),
        ("switch", "peers", ["somewhere"]),
        ("switch", "peers", [7]),
        ("switch", "peers", "192.0.2.1"),
        ("rest", "users", [None]),
    ],
)
def test_who_may_ask_is_named_or_refused(section, key, value):
    with pytest.raises(KeyProblem, match=f"^{section}.{key}: wanted "):
        Config.parse({section: {key: value}})


def test_who_may_ask_is_nobody_else_unless_told():
    told = Config.parse({"switch": {"users": ["openvswitch", 7], "peers": ["192.0.2.7", "2001:db8::/64"]}, "rest": {"users": ["me"]}})
    assert (told.switch.users, told.switch.peers, told.rest.users) == (("openvswitch", 7), ("192.0.2.7", "2001:db8::/64"), ("me",))
    assert (Config().switch.users, Config().switch.peers, Config().rest.users) == ((), (), ())
