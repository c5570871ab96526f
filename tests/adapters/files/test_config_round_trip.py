"""What `lego up` writes for the agent and the controller is read as the same configuration, whatever its values are."""

from __future__ import annotations

import copy
import functools
from dataclasses import replace

import pytest

from lego_sdn.adapters.files import configfile
from lego_sdn.core.facts.config import Config
from lego_sdn.core.facts.errors import ConfigError, HostError
from lego_sdn.core.policy.registry import POLICIES
from tests.examples import few_in_quick

NUMBERS = [1e-05, 1e-300, 5e-324, 0.1, 1 / 3, 1.0, 1e15, 1e16, 1e22, 1.5e300, 0, 1, 2, 8, 64, 999, 4096, 10**6, 10**12, -1e-07]
TEXTS = ["1e5", "1e-05", "yes", "null", "~", "0x1f", "010", "12:30", "1_000", "a: b", "#x", "'", '"', "a b", "-", "é", "2026-11-30", "="]


def leaves(data, path=()):
    """Every key of the configuration, as a path."""
    for key, value in data.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


def read_back(config: Config) -> Config:
    """From the text; without the folder of a policy of one's own, which reading makes absolute."""
    found = configfile.parse(configfile.dump(config), follows_policy=False)
    return replace(found, scaling=replace(found.scaling, policy_folder=config.scaling.policy_folder))


def configured(path, value):
    """The default configuration with one value changed, or None if that is no configuration."""
    data = copy.deepcopy(Config().to_dict())
    section = data
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = value
    try:
        found = Config.parse(data)
    except ConfigError:
        return None
    known = ":" in found.scaling.policy or found.scaling.policy in POLICIES  # which reading asks for as well
    return found if known else None


PATHS = list(leaves(Config().to_dict()))
FIRST = list({path[:-1]: path for path in reversed(PATHS)}.values())  # of each section
NAMES = [".".join(path) for path in (*FIRST, *(path for path in PATHS if path not in FIRST))]


@pytest.mark.slow
@pytest.mark.parametrize("name", few_in_quick(NAMES, len(FIRST)))
def test_every_value_survives(name):
    path = tuple(name.split("."))
    tried = [*NUMBERS, *TEXTS, True, False, None, [], ["a", "b"], [["a", "b"]], {"x": 1e-05}, {"feature-quantization": 1e-05}]
    tried.append(functools.reduce(lambda section, key: section[key], path, Config().to_dict()))
    kept = [config for config in (configured(path, value) for value in tried) if config is not None]
    assert kept
    for config in kept:
        assert read_back(config) == config


def test_the_loss_of_the_audit():
    config = Config.parse({"sla": {"loss": 0.00001}})
    assert configfile.parse(configfile.dump(config)) == config


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "config.yaml"
    configfile.write(Config(), path)
    assert configfile.load(path) == Config()
    (tmp_path / "config.yaml.new").mkdir()
    configfile.write(Config(), path)  # it says so already
    with pytest.raises(HostError, match=r"cannot write .*config\.yaml"):
        configfile.write(Config.parse({"buckets": 32}), path)
    assert configfile.load(path) == Config()
