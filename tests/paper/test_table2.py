"""How Table II's keys are scattered over instances."""

from __future__ import annotations

from lego_sdn.experiments.paper.table2 import BUCKETS, scattered


def test_every_instance_gets_keys_and_there_is_no_pattern():
    owners = [scattered(bucket, 3) for bucket in range(BUCKETS)]
    assert {owners.count(instance) for instance in (1, 2, 3)} <= set(range(BUCKETS // 4, BUCKETS // 2))
    there_and_back = [owners[a << 4 | b] == owners[b << 4 | a] for a in range(16) for b in range(16) if a != b]
    assert 0.2 < sum(there_and_back) / len(there_and_back) < 0.5, "a conversation is two keys"
