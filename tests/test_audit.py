"""The sampling auditor on a real switch: while instances come, go and differ, it compares, and says so when one differs."""

from __future__ import annotations

import itertools
import os
import shutil
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bricks.model import load_model, save_model
from bricks.packets import bucket_of
from bricks.scores import read_scores
from lego_sdn.adapters.wire import free_port
from lego_sdn.core.audit import TWIN, sampled
from lego_sdn.core.config import Config
from lego_sdn.experiment import Experiment
from tests.test_moves import REPLICATE, Run, merge, move, prepared  # noqa: F401 (a fixture)

pytestmark = pytest.mark.root
SHARE, PPS = 0.25, 1000.0
_NUMBER = itertools.count()


@pytest.fixture
def run(tmp_path, prepared):  # noqa: F811
    """An audited system, with a model of its own; it is ended, with nothing left, whatever the test does."""
    load, made = prepared
    model = Path(shutil.copy(made.model, tmp_path / "own.model"))
    config = Config.parse(
        {
            "run_dir": str(tmp_path / "run"),
            "model": str(model),
            "switch": {"bridge": f"la{os.getpid() % 10**6}{next(_NUMBER)}", "openflow_port": free_port("127.0.0.1")},
            "rest": {"port": free_port("127.0.0.1")},
            "capture": {"stamps": "trailer"},
            "scaling": {"period_s": 0.25, "cooldown_s": 0.01, "max_instances": 4},
            "audit": {"share": SHARE},
        }
    )
    with Experiment(config, tmp_path, lambda line: None) as experiment:
        yield Run(experiment, replace(made, model=model), replace(load, pps=PPS))


def another_model(path: Path) -> None:
    """From now on instances start with one that is a little different."""
    model = load_model(path)
    save_model(replace(model, error_span=model.error_span * (1 + 1e-12)), path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def test_what_an_audited_system_says_while_all_is_well_and_when_an_instance_differs(run):
    steps = [REPLICATE, REPLICATE, move(0, 32, 3), merge(2), merge(3), REPLICATE]
    assert run.post("pause")
    audit, before = {}, {}
    for seen in run.experiment.watch(run.load, 20.0):
        audit = seen.status["audit"]
        if steps and seen.quiet and audit["compared"] > 50:
            if len(steps) == 1:
                before = before or audit
                another_model(run.prepared.model)
            if run.post(steps[0][0], **steps[0][1]):
                steps.pop(0)
        if not steps and audit["waiting"] == 0 and not run.experiment._replay.running:
            break
    assert steps == [], run.errors
    check_all_was_well(run, before)
    check_the_alarm(run, audit)


def check_all_was_well(run: Run, audit: dict) -> None:
    assert (audit["different"], audit["first_difference"], audit["unpaired"]) == (0, None, {})
    assert audit["equal"] == audit["compared"] > 500
    assert audit["twin"] == {"instance": TWIN, "phase": "running"}
    assert audit["cost"]["packets_per_s"] > PPS / 2, "it gets every packet, not a share of them"
    assert 0 < audit["cost"]["cpu"] < 2
    assert "streams in" in run.notes("audit")[1]


def check_the_alarm(run: Run, audit: dict) -> None:
    """Each difference that the score files show of the sampled packets was found, and nothing else."""
    with urllib.request.urlopen(f"{run.experiment.system.url}/../../metrics".replace("/lego/v1/../..", "")) as answer:
        metrics = answer.read().decode()
    summary = run.experiment.finish(run.prepared.unsplit)
    assert (summary.missing, summary.comparison.twice) == (0, 0), summary.dropped
    buckets = sampled(SHARE, run.experiment.config.buckets)
    different = 0
    for path in run.experiment.scores.iterdir():
        records = read_scores(path)
        records = records[np.isin(bucket_of(records, run.experiment.config.buckets), buckets) & (records["seq"] > audit["since"])]
        differs = records["score"] != run.prepared.unsplit[records["seq"].astype(int)]
        assert not (path.name.startswith(f"{TWIN}-") and differs.any())
        different += int(np.count_nonzero(differs))
    assert different == audit["different"] > 10
    (alarm, *_) = [text for text in run.notes("audit") if text.startswith("ALARM")]
    assert "from instance 2 and" in alarm
    assert f'lego_audit_scores_total{{result="different"}} {float(different)}' in metrics
    assert run.notes("inexact") == run.notes("failed") == []
