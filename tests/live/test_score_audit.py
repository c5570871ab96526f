"""The sampling auditor on a real switch: while instances come, go and differ, it compares, and says so when one differs."""

from __future__ import annotations

import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bricks.files.scores import read_scores
from bricks.models.model_file import load_model, save_model
from bricks.records.packets import bucket_of
from lego_sdn.core.facts.assignment import REFERENCE
from lego_sdn.core.observe.score_audit import sampled_buckets
from lego_sdn.experiments.run import Experiment
from tests.live.session import Live, configuration, traffic_in

pytestmark = pytest.mark.root
SHARE, PPS, ROUNDS = 0.25, 400.0, 4  # more traffic than the steps need: the sending ends with them
ALARMING = 50  # different scores
LOOKS = 6  # a few times a second, in which nothing more was compared: the auditor asks every 0.25 s


@pytest.fixture
def live(tmp_path):
    """An audited system; it is ended, with nothing left, whatever the test does."""
    load, prepared = traffic_in(tmp_path, PPS, ROUNDS)
    config = configuration(tmp_path, prepared.model, audit={"share": SHARE})
    with Experiment(config, tmp_path, lambda line: None) as experiment:
        yield Live(experiment, load, prepared)


def another_model(path: Path) -> None:
    """From now on instances start with one that is a little different."""
    model = load_model(path)
    save_model(replace(model, error_span=model.error_span * (1 + 1e-12)), path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def test_what_an_audited_system_says_while_all_is_well_and_when_an_instance_differs(live):
    replicate = ("replicate", {})
    move = ("move", {"buckets": list(range(32)), "instance": 3})
    keyed = ("replicate", {"brick": "feature-quantization", "instance": 1})
    steps = [replicate, keyed, replicate, move, ("merge", {"instance": 2}), ("merge", {"instance": 3}), replicate]
    audit, before, looks = {}, {}, []
    for seen in live.experiment.watch(live.load, 20.0):
        audit = seen.status["audit"]
        if steps and seen.quiet and audit["compared"] > 50:
            if len(steps) == 1:
                before = before or audit
                another_model(live.prepared.model)
            if live.post(steps[0][0], **steps[0][1]):
                steps.pop(0)
        if not steps and audit["different"] > ALARMING:
            live.experiment.enough()
        if not steps and not live.experiment.sending:
            looks = [*looks, audit["compared"]][-LOOKS:]
            if audit["waiting"] == 0 and len(looks) == LOOKS and len(set(looks)) == 1:
                break
    assert steps == [], live.errors
    check_all_was_well(live, before)
    check_the_alarm(live, audit)


def check_all_was_well(live: Live, audit: dict) -> None:
    assert (audit["different"], audit["first_difference"], audit["unpaired"]) == (0, None, {})
    assert audit["equal"] == audit["compared"] > 500
    assert audit["twin"] == {"instance": REFERENCE, "phase": "running"}
    assert audit["cost"]["packets_per_s"] > PPS / 2, "it gets every packet, not a share of them"
    assert 0 < audit["cost"]["cpu"] < 2
    assert live.notes("audit")[1]["type"] == "AuditBegun"
    assert {"brick": "feature-quantization-1", "instance": 1} in live.fields("BrickRuns")


def check_the_alarm(live: Live, audit: dict) -> None:
    """Each difference that the score files show of the sampled packets was found, and nothing else."""
    with urllib.request.urlopen(f"{live.experiment.system.url}/../../metrics".replace("/lego/v1/../..", "")) as answer:
        metrics = answer.read().decode()
    summary = live.finish()
    assert (summary.missing, summary.comparison.twice) == (0, 0), summary.dropped
    buckets = sampled_buckets(SHARE, live.experiment.config.buckets)
    different = 0
    for path in live.experiment.scores.iterdir():
        records = read_scores(path)
        records = records[np.isin(bucket_of(records, live.experiment.config.buckets), buckets) & (records["seq"] > audit["since"])]
        differs = records["score"] != live.prepared.unsplit[records["seq"].astype(int)]
        assert not (path.name.startswith(f"{REFERENCE}-") and differs.any())
        different += int(np.count_nonzero(differs))
    assert different == audit["different"] > ALARMING
    (alarm, *_) = live.fields("AuditAlarm")
    assert alarm["instance"] == 2
    assert f'lego_audit_scores_total{{result="different"}} {float(different)}' in metrics
    assert live.notes("inexact") == live.notes("failed") == []
