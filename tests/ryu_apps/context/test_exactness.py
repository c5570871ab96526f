"""What the operator is told of exactness."""

from __future__ import annotations

import pytest

from lego_sdn.core.facts.config import Config
from lego_sdn.core.facts.errors import ConfigError, LegoError
from ryu_apps.context.exactness import changed_features, key_of, warning


def test_exact_kitsune_changes_nothing_and_nothing_is_said():
    assert changed_features(Config()) == ()
    assert warning(Config()) is None


def test_without_shadows_the_features_that_need_them_are_named():
    changed = changed_features(Config(exact=False))
    assert changed
    assert {name.split("_")[0] for name in changed} == {"HH", "HpHp"}, "those that read the opposite stream"
    told = warning(Config(exact=False))
    assert told.startswith(f"{len(changed)} features may differ from those of an unsplit run (")
    assert "exact is false" in told
    assert told.endswith("GET granularity names them")


def test_a_layout_that_shadows_cannot_keep_exact_is_not_split():
    key = key_of(Config(layout="kitsunepy100"))
    assert key.exact
    assert "no header field" in key.whole
    key.require(1, "instances")
    with pytest.raises(LegoError, match=r"^instances is 2, .* HH would need copies"):
        key.require(2, "instances")
    assert len(changed_features(Config(layout="kitsunepy100", exact=False))) == 85


def test_a_layout_that_does_not_exist():
    with pytest.raises(ConfigError, match="unknown layout"):
        changed_features(Config(layout="none"))
