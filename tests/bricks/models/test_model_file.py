"""The model file: the same bits back, or one clear sentence."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bricks.learning.threshold import score_features
from bricks.learning.training import Training, train_model
from bricks.models.model_file import FORMAT, Model, load_model, save_model
from lego_sdn.core.facts.errors import ModelError
from tests.examples import examples

ARRAYS = ("order", "sizes", "low", "span", "weights", "hidden_bias", "visible_bias", "error_low", "error_span")


@pytest.fixture(scope="module")
def trained() -> Model:
    vectors = np.random.default_rng(0).normal(size=(700, 9)) @ np.random.default_rng(1).normal(size=(9, 9))
    return train_model(vectors, Training("made-up", 200, 400, max_size=4))


@pytest.fixture
def saved(trained, tmp_path):
    save_model(trained, tmp_path / "model")
    return tmp_path / "model"


def test_a_model_comes_back_with_the_same_bits(trained, saved):
    found = load_model(saved, "made-up")
    for name in ARRAYS:
        assert np.array_equal(getattr(found, name), getattr(trained, name))
        assert getattr(found, name).dtype == getattr(trained, name).dtype
    assert (found.layout, found.threshold, found.about) == (trained.layout, trained.threshold, dict(trained.about))
    features = np.random.default_rng(2).normal(size=(100, 9))
    assert np.array_equal(score_features(found, features), score_features(trained, features))


def test_the_file_says_what_it_is_and_how_it_was_made(trained, saved):
    assert saved.read_bytes().startswith(b"LEGO model 1\n")
    about = load_model(saved).about
    assert (about["fm_grace"], about["ad_grace"], about["seed"], about["numerics"]) == (200, 400, 1234, "robust")
    assert about["calibration"]["vectors"] == 100


def test_saving_the_same_model_twice_gives_the_same_weights_and_leaves_no_other_file(trained, saved):
    save_model(trained, saved)
    assert os.listdir(saved.parent) == ["model"]
    assert np.array_equal(load_model(saved).weights, trained.weights)


def test_a_model_cannot_be_changed_and_keeps_its_own_arrays(trained):
    weights = np.array(trained.weights)
    model = replace(trained, weights=weights)
    weights[:] = 0
    assert np.array_equal(model.weights, trained.weights)
    with pytest.raises(ValueError, match="read-only"):
        model.weights[0] = 1


def test_another_layout_is_refused(saved):
    with pytest.raises(ModelError, match=r"is of layout made-up, not kitsune115; train one with `lego train --layout kitsune115`"):
        load_model(saved, "kitsune115")


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(ModelError, match=r"nix cannot be read: No such file.*lego train"):
        load_model(tmp_path / "nix")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is no LEGO model: it is empty"),
        (b"PK\3\4 some zip", "is no LEGO model: it does not begin as one"),
        (b"\x80\x04\x95 a pickle", "is no LEGO model"),
        (FORMAT + b"2\nabc\n", "format version '2', this LEGO reads version 1; train again"),
        (FORMAT + b"\n", "format version ''"),
        (FORMAT, "format version ''"),
        (FORMAT + b"1\n", "damaged"),
    ],
)
def test_foreign_files_are_named(tmp_path, content, says):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=says):
        load_model(path)


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_byte_anywhere_is_seen(saved, data):
    content = bytearray(saved.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    damaged = saved.with_name("damaged")
    damaged.write_bytes(content)
    with pytest.raises(ModelError):
        load_model(damaged)


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_cut_file_is_seen(saved, data):
    content = saved.read_bytes()
    damaged = saved.with_name("damaged")
    damaged.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(ModelError):
        load_model(damaged)


def test_a_whole_file_that_is_no_model_is_refused(saved, tmp_path):
    """The checksum only says that nothing changed on the way; what is in it is checked too."""
    import hashlib
    import io

    def written(**arrays) -> str:
        archive = io.BytesIO()
        np.savez(archive, **arrays)
        digest = hashlib.sha256(archive.getvalue()).hexdigest().encode()
        path = tmp_path / "made"
        path.write_bytes(FORMAT + b"1\n" + digest + b"\n" + archive.getvalue())
        return path

    with pytest.raises(ModelError, match="lacks a part of a model"):
        load_model(written(order=np.arange(3)))
    with pytest.raises(ModelError, match="lacks a part of a model"):
        load_model(written(order=np.array([{}], dtype=object)))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"order": np.zeros(9, int)}, "not a permutation of 9 features"),
        ({"sizes": np.array([9, 1])}, r"clusters of \[9, 1\] features do not make up 9"),
        ({"sizes": np.array([], int)}, "clusters of"),
        ({"weights": np.zeros(3)}, r"weights has shape \(3,\)"),
        ({"low": np.full(9, np.nan)}, "low holds numbers that are not finite"),
        ({"span": np.zeros(9)}, "a range is not above zero"),
        ({"threshold": 0.0}, r"threshold 0.0 is not above zero"),
        ({"threshold": float("nan")}, "threshold nan"),
    ],
)
def test_parts_that_do_not_fit_are_refused(trained, change, says):
    with pytest.raises(ModelError, match=says):
        replace(trained, **change)


def test_a_place_that_cannot_be_written_is_said_and_the_old_file_stays(trained, saved, tmp_path):
    with pytest.raises(ModelError, match=r"cannot be written: No such file or directory; choose another place"):
        save_model(trained, tmp_path / "no" / "such" / "folder")
    with pytest.raises(ModelError, match="cannot be written"):
        save_model(trained, tmp_path)
    assert load_model(saved).threshold == trained.threshold
    assert os.listdir(tmp_path) == ["model"]


def archive_of(trained, pack=np.savez, **changed) -> bytes:
    """A model file with the right checksum and some arrays exchanged."""
    import hashlib
    import io

    arrays = {name: getattr(trained, name) for name in ARRAYS} | {"threshold": np.array(1.0), "layout": np.array("made-up")}
    buffer = io.BytesIO()
    pack(buffer, about=np.array("{}"), **{key: value for key, value in (arrays | changed).items() if value is not None})
    content = buffer.getvalue()
    return FORMAT + b"1\n" + hashlib.sha256(content).hexdigest().encode() + b"\n" + content


@pytest.mark.slow
def test_memory_is_in_proportion_to_the_file(trained, tmp_path):
    """Packed zeros, and a header that promises gigabytes: neither is made before it is known to be there."""
    import hashlib
    import tracemalloc

    packed = archive_of(trained, np.savez_compressed, weights=np.zeros(30_000_000))
    plain = archive_of(trained)
    start = plain.index(b"\n", len(FORMAT) + 2) + 1
    count = str(len(trained.weights)).encode()
    promising = plain[start:].replace(b"(" + count + b",), }" + b" " * (11 - len(count)), b"(99999999999,), }", 1)
    assert promising != plain[start:]
    promising = FORMAT + b"1\n" + hashlib.sha256(promising).hexdigest().encode() + b"\n" + promising
    for content in (packed, promising):
        (tmp_path / "bomb").write_bytes(content)
        tracemalloc.start()
        with pytest.raises(ModelError, match="lacks a part of a model"):
            load_model(tmp_path / "bomb")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 10 * len(content) + 1_000_000


@pytest.mark.parametrize(
    "changed",
    [
        {"about": np.array("[" * 100_000)},
        {"about": np.array("3")},
        {"about": np.array("9" * 5000)},
        {"layout": np.array(3)},
        {"layout": np.array("\x1b[2J\n")},
        {"order": np.zeros(9, np.int64)},
        {"order": np.zeros((3, 3), np.int64)},
        {"order": np.zeros(9)},
        {"sizes": np.array([2**62, 2**62, 2**62, 2**62 + 9])},
        {"sizes": np.array(9)},
        {"sizes": np.zeros(0, np.int64)},
        {"weights": np.array([np.nan])},
        {"threshold": np.array([1.0])},
        {"threshold": np.array(np.nan)},
        {"extra": np.zeros(3)},
    ],
)
def test_arrays_that_are_no_model_are_refused_in_a_printable_sentence(trained, tmp_path, changed):
    about = (
        {"pack": lambda buffer, about, **rest: np.savez(buffer, **{"about": about} | rest | changed)}
        if changed.get("about") is not None
        else {}
    )
    named = {} if about else changed
    (tmp_path / "m").write_bytes(archive_of(trained, **about, **{k: v for k, v in named.items() if k != "about"}))
    with pytest.raises(ModelError) as told:
        load_model(tmp_path / "m", "other" if "layout" in changed else None)
    assert str(told.value).isprintable()


def test_what_is_in_a_file_that_is_no_model_is_not_said(tmp_path):
    (tmp_path / "shadow").write_text("root:$y$secret:20228:0:99999:7:::\n")
    with pytest.raises(ModelError) as told:
        load_model(tmp_path / "shadow")
    assert "root" not in str(told.value).replace(str(tmp_path), "")
    for path in ("/dev/zero", "a\0b"):
        with pytest.raises(ModelError):
            load_model(path)
