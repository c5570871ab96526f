"""Model files of classifiers: the same bits back, and whatever is in a file, one sentence and bounded memory."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import numpy as np
import pytest

from bricks.kernels.network import opcodes as op
from bricks.models.classifier import Classifier
from bricks.models.kinds import compile_model, kind_names, kind_of
from bricks.models.model_file import FORMAT, load_model, read_model_file, save_model
from bricks.models.program import ProgramBuilder
from lego_sdn.core.facts.errors import ModelError

ROOT, FEATURE, LEFT, RIGHT = [0], [0, 0, 0], [1, -1, -1], [2, -1, -1]


def program():
    builder = ProgramBuilder(2)
    builder.add(op.TREES, [[0.5, 0, 0], [[0, 0], [1, 3], [4, 0]]], [ROOT, FEATURE, LEFT, RIGHT], outputs=2, size=1, extra=3)
    builder.add(op.NORMALISE)
    return builder.done()


def model() -> Classifier:
    return Classifier("two", program(), ("benign", "worm"), 0, np.array([0.5, 0.9]), {"seed": 1})


@pytest.fixture
def saved(tmp_path):
    save_model(model(), tmp_path / "model")
    return tmp_path / "model"


def test_a_classifier_comes_back_with_the_same_bits(saved):
    found, wanted = load_model(saved, "two", kind="classifier"), model()
    assert (found.layout, found.classes, found.ordinary, found.about) == (wanted.layout, wanted.classes, wanted.ordinary, {"seed": 1})
    for name in ("steps", "numbers", "indices"):
        assert getattr(found.program, name).tobytes() == getattr(wanted.program, name).tobytes()
    assert found.thresholds.tolist() == [0.5, 0.9]
    assert compile_model(found)(np.array([[0.5, 0], [0.6, 0]])).tolist() == [[0.25, 0.75], [1.0, 0.0]]


def test_the_kinds_are_registered_and_described(saved):
    assert {"kitnet", "classifier"} <= set(kind_names())
    found = read_model_file(saved)
    facts = kind_of(found).described(found)
    assert facts["classes"] == ["benign", "worm"]
    assert facts["operators"] == ["trees", "normalise"]


def test_a_model_of_another_kind_is_refused(saved):
    with pytest.raises(ModelError, match=r"model .*model is of the kind classifier, not kitnet"):
        load_model(saved)


def test_a_model_of_another_layout_is_refused(saved):
    with pytest.raises(ModelError, match="is of layout two, not three"):
        load_model(saved, "three", kind="classifier")


def written(path, **parts: Any):
    """A file that is whole, with other parts than a classifier's."""
    kept = model()
    arrays = {"kind": np.array("classifier"), "layout": np.array("two"), "about": np.array("{}"), **kind_of(kept).arrays(kept), **parts}
    archive = io.BytesIO()
    np.savez(archive, **{name: array for name, array in arrays.items() if array is not None})
    content = archive.getvalue()
    path.write_bytes(FORMAT + b"1\n" + hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    return path


def steps(**fields: int) -> np.ndarray:
    """The steps of the model with fields of the first changed."""
    found = np.array(program().steps)
    for name, value in fields.items():
        found[0, getattr(op, name)] = value
    return found


def indices(**parts: list[int]) -> np.ndarray:
    told = {"root": ROOT, "feature": FEATURE, "left": LEFT, "right": RIGHT} | parts
    return np.concatenate([np.array(part, np.int64) for part in told.values()])


HUGE = 1 << 31


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"kind": np.array("magic")}, "the kind of model 'magic' is unknown; there are classifier, kitnet"),
        ({"kind": np.array("../os")}, "is unknown"),
        ({"kind": np.array("program")}, "is unknown"),
        ({"kind": np.array("x" * 100_000)}, "is unknown"),
        ({"kind": np.array(3)}, "lacks a part"),
        ({"kind": np.array("kitnet")}, "lacks a part of a model .*wanted the parts"),
        ({"steps": None}, "wanted the parts"),
        ({"more": np.zeros(3)}, "wanted the parts"),
        ({"numbers": np.zeros(9, "f4")}, "another type"),
        ({"numbers": np.full(9, np.nan)}, "a number is not finite"),
        ({"numbers": np.zeros(3)}, "needs 9 numbers and 10 indices"),
        ({"indices": indices()[:-1]}, "needs 9 numbers and 10 indices"),
        ({"indices": indices(root=[3])}, "a root that is no node"),
        ({"indices": indices(root=[-1])}, "a root that is no node"),
        ({"indices": indices(left=[0, -1, -1])}, "child does not come after it"),
        ({"indices": indices(right=[-1, -1, -1])}, "child does not come after it"),
        ({"indices": indices(right=[3, -1, -1])}, "child does not come after it"),
        ({"indices": indices(feature=[2, 0, 0])}, "looks at a value beyond the 2"),
        ({"indices": indices(feature=[-1, 0, 0])}, "looks at a value beyond the 2"),
        ({"steps": steps(OPERATOR=99)}, "unknown operator 99"),
        ({"steps": steps(OPERATOR=0)}, "unknown operator 0"),
        ({"steps": steps(INPUTS=HUGE)}, "has 2147483648 inputs"),
        ({"steps": steps(OPERATOR=op.RELU, INPUTS=2000, OUTPUTS=2000)}, "has 2000 inputs"),
        ({"steps": steps(OUTPUTS=3)}, "takes 2 values, and the step before gives 3|needs"),
        ({"steps": steps(NUMBER=HUGE)}, "which it has not"),
        ({"steps": steps(INDEX=5)}, "which it has not"),
        ({"steps": steps(SIZE=HUGE, EXTRA=HUGE)}, "which it has not"),
        ({"steps": steps(SIZE=0)}, "has no tree|which it has not|is no node"),
        ({"steps": steps(NUMBER=-1)}, "negative or too large"),
        ({"steps": steps(OPERATOR=op.NEAREST, SIZE=3, EXTRA=4)}, "has 3 points, of which 4"),
        ({"steps": steps(OPERATOR=op.NEAREST, SIZE=3, EXTRA=1), "indices": indices(feature=[0, 5, 0])}, "a class beyond the 2"),
        ({"steps": steps(OPERATOR=op.SCALE)}, "divides by 0"),
        ({"steps": steps(OPERATOR=op.GAUSSIAN)}, "which it has not|variance"),
        ({"steps": np.zeros((0, 8), np.int64)}, r"shape \(0, 8\)"),
        ({"steps": np.zeros((2, 7), np.int64)}, r"shape \(2, 7\)"),
        ({"classes": np.array('["a"]')}, "has 1 classes and 2 probabilities"),
        ({"classes": np.array('["a", "a"]')}, "two classes have one name"),
        ({"classes": np.array('["a", "\\u001b[2J"]')}, "printable"),
        ({"classes": np.array('["a", 3]')}, "printable"),
        ({"classes": np.array('["a", ["b"]]')}, "printable"),
        ({"classes": np.array('{"a": "b"}')}, "no list"),
        ({"classes": np.array("[" * 100_000)}, "RecursionError|nested|recursion|classes|delimiter|Expecting"),
        ({"ordinary": np.array(2)}, "ordinary class has the number 2"),
        ({"thresholds": np.array([0.5])}, "wanted 2 thresholds"),
        ({"thresholds": np.array([0.5, np.nan])}, "wanted 2 thresholds"),
        ({"about": np.array("[]")}, "no map"),
    ],
)
def test_a_whole_file_that_is_no_classifier_is_one_sentence(tmp_path, parts, says):
    with pytest.raises(ModelError, match=says) as caught:
        read_model_file(written(tmp_path / "model", **parts))
    assert str(tmp_path / "model") in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert str(caught.value).isprintable()


def test_two_parts_of_one_name_are_refused(tmp_path):
    import zipfile

    path = written(tmp_path / "model")
    head, _, content = path.read_bytes().split(b"\n", 2)
    archive = io.BytesIO(content)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(archive, "a") as more:
        more.writestr("numbers.npy", b"x")
    content = archive.getvalue()
    path.write_bytes(head + b"\n" + hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    with pytest.raises(ModelError, match="each of a name of its own"):
        read_model_file(path)


def test_numbers_beyond_single_precision_are_refused(tmp_path):
    builder = ProgramBuilder(1)
    builder.dense([[1e300, 1.0]], [0.0, 0.0])
    big = Classifier("one", builder.done(), ("a", "b"))
    with pytest.raises(ModelError, match="too large for float32; score with float64"):
        compile_model(big, "float32")


def test_a_file_of_kitnet_names_no_kind(tmp_path):
    """Files that were written before there were kinds, and those of today, are read by both."""
    from bricks.nfs.kitsune.learn import blank_models

    (kitnet,) = blank_models("kitsune115").values()
    save_model(kitnet, tmp_path / "kitnet")
    assert b"kind.npy" not in (tmp_path / "kitnet").read_bytes()
    assert json.dumps(kind_of(load_model(tmp_path / "kitnet")).described(kitnet)["features"]) == "115"
