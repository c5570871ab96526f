"""The parameter of `start_instance` is checked at the door."""

from __future__ import annotations

import pytest

from lego_sdn.agent.spec import InstanceSpec
from lego_sdn.core.facts.errors import ConfigError


@pytest.fixture
def model(tmp_path):
    (tmp_path / "m").write_text("weights")
    return str(tmp_path / "m")


def test_defaults_and_everything(model):
    assert InstanceSpec.parse({"instance": 1, "model": model}).placement == "chained"
    full = {"instance": 2, "model": model, "cpu_quota": 0.2, "placement": "separate", "stamps": "trailer", "limits": {"streams": 9}}
    assert InstanceSpec.parse(full).cpu_quota == 0.2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"quota": 1}, "unknown key 'quota'; the keys are batch, "),
        ({"instance": None}, "instance: wanted a whole number from 1 to 999, found None"),
        ({"instance": True}, "instance: wanted"),
        ({"model": None}, "model: wanted the path of a model file, found None"),
        ({"model": "a\nb"}, "model: wanted the path of a model file, found"),
        ({"nf": 7}, "nf: wanted the name of an NF, found 7"),
        ({"layout": []}, "layout: wanted the name of a layout, found"),
        ({"threshold": "low"}, "threshold: wanted a number, or null, found 'low'"),
        ({"buckets": 2**40}, "buckets: wanted a power of two from 1 to 4096, found"),
        ({"batch": 65537}, "batch: wanted a whole number above 0, up to 65536, found 65537"),
        ({"limits": {"streams": 10**9}}, "limits.streams: wanted a whole number from 1 to 100000000, found 1000000000"),
        ({"limits": {"rows": 1}}, "limits: wanted a map, with no other keys than streams, found"),
        ({"capture": {"blocks": 60000, "block_bytes": 65536}}, "capture.blocks: wanted at most 16384 blocks of 65536 bytes"),
        ({"capture": {"blocks": True}}, "capture.blocks: wanted a whole number from 2 to 65536, found True"),
        ({"capture": {"frames": 1}}, "capture: wanted a map, with no other keys than blocks, block_bytes, timeout_ms, found"),
        ({"sampled": [64]}, "sampled: wanted a list of buckets, found"),
        ({"sampled": [0] * 100}, "sampled: wanted a list of buckets, found"),
        ({"placement": "apart"}, "placement: wanted one of chained, separate, found 'apart'"),
        ({"cpu_quota": "much"}, "cpu_quota: wanted cores above 0, or null"),
        ({"cpu_quota": 0}, "cpu_quota: wanted"),
        ({"buckets": 48}, "buckets: wanted a power of two from 1 to 4096, found 48"),
        ({"batch": 0}, "batch: wanted"),
        ({"stamps": "sun"}, "stamps: wanted kernel or trailer"),
        ({"limits": []}, "limits: wanted a map"),
        ({"slow_us": {"unsupervised-network": -1}}, "slow_us: wanted kinds of bricks with microseconds from 0 to 1000000, found"),
        ({"slow_us": 3}, "slow_us: wanted"),
        ({"scores": 7}, "scores: wanted a folder, or null, found 7"),
        ({"scores": "a\0b"}, "scores: wanted a folder"),
    ],
)
def test_each_wrong_key_is_named(model, change, sentence):
    with pytest.raises(ConfigError, match=f"^start_instance: {sentence}"):
        InstanceSpec.parse({"instance": 1, "model": model} | change)


def test_not_even_a_map():
    with pytest.raises(ConfigError, match="wanted a map, found 7"):
        InstanceSpec.parse(7)
    with pytest.raises(ConfigError, match="instance is missing"):
        InstanceSpec.parse({})
