"""What counts for `lego run`: the configuration file, or an option that was given; and what `lego run` and `lego prove` share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lego_sdn.commands.prove import prove
from lego_sdn.commands.run import RunOptions, asked, overridden, run
from lego_sdn.core.facts.config import Config, InstanceSettings, KeyProblem, ScalingSettings

FILE = Config(model="/m.model", instance=InstanceSettings(cpu_quota=0.5), scaling=ScalingSettings(min_instances=2, max_instances=3))
NOTHING = RunOptions((), None, "lego.yaml", 3000.0, 1, None, None, None, 60.0, None, False)


def test_what_is_not_given_leaves_the_file_alone():
    """Also defaults: none of the options has one that would replace what the file says."""
    given = run.make_context("run", []).params
    assert (given["quota"], given["instances"], given["policy"], given["model"]) == (None, None, None, None)
    assert asked(NOTHING, FILE) == FILE
    assert list(overridden(FILE, FILE)) == []


@pytest.mark.parametrize(
    ("given", "now", "says"),
    [
        ({"quota": 0.1}, (0.1, 3, "/m.model"), "--quota goes before the configuration: instance.cpu_quota is 0.1, not 0.5"),
        ({"instances": 2}, (0.5, 2, "/m.model"), "--instances goes before the configuration: scaling.max_instances is 2, not 3"),
        ({"model": Path("/n.model")}, (0.5, 3, "/n.model"), "--model goes before the configuration: model is /n.model, not /m.model"),
    ],
)
def test_an_option_that_is_given_goes_before_the_file_and_says_so(given, now, says):
    config = asked(replace(NOTHING, **given), FILE)
    assert (config.instance.cpu_quota, config.scaling.max_instances, config.model) == now
    assert list(overridden(FILE, config)) == [says]


def test_a_policy_may_be_named():
    config = asked(replace(NOTHING, policy="water-marks"), FILE)
    assert list(overridden(FILE, config)) == ["--policy goes before the configuration: scaling.policy is water-marks, not bricks"]
    with pytest.raises(KeyProblem, match=r"scaling\.policy: wanted one of bricks"):
        asked(replace(NOTHING, policy="magic"), FILE)


def test_an_option_that_the_file_does_not_allow_is_refused():
    with pytest.raises(KeyProblem, match=r"max_instances: wanted at least min_instances \(2\), found 1"):
        asked(replace(NOTHING, instances=1), FILE)


def test_run_and_prove_share_what_they_have_in_common():
    shared = [{one.name: (one.type.name, getattr(one, "help", None)) for one in command.params} for command in (run, prove)]
    for name in ("captures", "model", "pps", "keep", "as_json"):
        assert shared[0][name] == shared[1][name]
    assert "The controller is paused meanwhile" in prove.help
