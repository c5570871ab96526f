"""ONNX models as programs, against the reference evaluator of ONNX; what is not compiled is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

onnx = pytest.importorskip("onnx", reason="the package onnx is not installed (pip install 'lego-sdn[onnx]')")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

from bricks.learning.onnx_models import compile_onnx  # noqa: E402
from lego_sdn.adapters.files.onnx_file import read_onnx  # noqa: E402
from lego_sdn.core.facts.errors import ModelError  # noqa: E402

WIDTH, ML = 5, "ai.onnx.ml"
RANDOM = np.random.default_rng(3)
W1, B1, W2, B2 = (RANDOM.normal(size=shape).astype(np.float32) for shape in ((WIDTH, 8), 8, (8, 3), 3))
VARIANCE = np.abs(B1) + 0.5
ROWS = np.random.default_rng(4).normal(size=(150, WIDTH)).astype(np.float32)


def node(operator: str, inputs: str, output: str, domain: str = "", **attributes):
    return helper.make_node(operator, inputs.split(), output.split(), domain=domain, **attributes)


def saved(path, nodes, outputs=("y",), width=WIDTH, **constants):
    """A file with these nodes from "x" to `outputs`."""
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", width])
    told = [helper.make_tensor_value_info(name, TensorProto.INT64 if name == "label" else TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(
        nodes, "g", [given], told, [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid(ML, 3)])
    path.write_bytes(model.SerializeToString())
    return path


HIDDEN = {"a": W1, "b": B1, "c": W2, "d": B2, "s": np.float32(1.5), "v": VARIANCE, "low": np.float32(-1), "high": np.float32(1)}
ENDS = [node("Gemm", "h c d", "z"), node("Softmax", "z", "y", axis=-1)]
CHAINS = {
    "relu": [node("Gemm", "x a b", "g"), node("Relu", "g", "h")],
    "leaky": [node("Gemm", "x a b", "g", alpha=0.5, beta=2.0), node("LeakyRelu", "g", "h", alpha=0.2)],
    "elu": [node("Gemm", "x a b", "g"), node("Elu", "g", "h", alpha=0.7)],
    "sigmoid": [node("Gemm", "x a", "g"), node("Sigmoid", "g", "h")],
    "tanh": [node("MatMul", "x a", "m"), node("Add", "m b", "g"), node("Tanh", "g", "h")],
    "arithmetic": [node("MatMul", "x a", "m"), node("Sub", "b m", "g"), node("Div", "g v", "q"), node("Mul", "q s", "h")],
    "subtraction": [node("Identity", "x", "i"), node("MatMul", "i a", "m"), node("Add", "b m", "g"), node("Sub", "g s", "h")],
    "clip": [node("Gemm", "x a b", "g"), node("Clip", "g low high", "h")],
    "clip below": [node("Gemm", "x a b", "g"), helper.make_node("Clip", ["g", "low"], ["h"])],
    "normalised": [node("Gemm", "x a b", "g"), node("BatchNormalization", "g v b b v", "r"), node("Relu", "r", "h")],
    "scaler": [node("Scaler", "x", "s1", ML, offset=[0.5] * WIDTH, scale=[2.0] * WIDTH), node("Gemm", "s1 a b", "h")],
    "flat": [node("Flatten", "x", "f"), node("Dropout", "f", "o"), node("Cast", "o", "k", to=1), node("Gemm", "k a b", "h")],
}


def reference(path, rows=ROWS, output=-1) -> np.ndarray:
    return np.asarray(ReferenceEvaluator(str(path)).run(None, {"x": rows})[output])


@pytest.mark.slow
@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_of_operators(name, tmp_path):
    path = saved(tmp_path / "m.onnx", [*CHAINS[name], *ENDS], **HIDDEN)
    program, labels, margins = compile_onnx(read_onnx(path), WIDTH)
    found, wanted = program.compiled()(ROWS.astype(float)), reference(path)
    assert (labels, margins) == ([], False)
    assert np.abs(found - wanted).max() < 1e-6
    assert np.array_equal(found.argmax(axis=1), wanted.argmax(axis=1))


def test_margins_become_probabilities_and_one_result_two_classes(tmp_path):
    path = saved(tmp_path / "m.onnx", [*CHAINS["relu"], node("Gemm", "h c d", "y")], **HIDDEN)
    program, _, margins = compile_onnx(read_onnx(path), WIDTH)
    powers = np.exp(reference(path))
    assert margins
    assert np.abs(program.compiled()(ROWS.astype(float)) - powers / powers.sum(axis=1, keepdims=True)).max() < 1e-6
    one = HIDDEN | {"c": W2[:, :1], "d": B2[:1]}
    path = saved(tmp_path / "one.onnx", [*CHAINS["relu"], node("Gemm", "h c d", "z"), node("Sigmoid", "z", "y")], **one)
    program, _, margins = compile_onnx(read_onnx(path), WIDTH)
    found = program.compiled()(ROWS.astype(float))
    assert not margins
    assert np.abs(found[:, 1] - reference(path)[:, 0]).max() < 1e-6
    assert np.allclose(found.sum(axis=1), 1)


@pytest.mark.parametrize("transform", ["SOFTMAX", "LOGISTIC", "NONE"])
def test_a_linear_classifier_with_its_labels(transform, tmp_path):
    told = {"coefficients": W2[:WIDTH].T.ravel().tolist(), "intercepts": B2.tolist(), "classlabels_ints": [7, 8, 9]}
    nodes = [node("LinearClassifier", "x", "label p", ML, post_transform=transform, **told), node("Identity", "p", "y")]
    path = saved(tmp_path / "m.onnx", nodes, ("label", "y"))
    program, labels, _ = compile_onnx(read_onnx(path), WIDTH)
    wanted, found = reference(path), program.compiled()(ROWS.astype(float))
    assert labels == ["7", "8", "9"]
    assert np.array_equal(found.argmax(axis=1), wanted.argmax(axis=1))
    assert transform == "NONE" or np.abs(found - wanted).max() < 1e-6


def forest(mode: str = "BRANCH_LEQ", transform: str = "NONE", backwards: bool = False) -> tuple[dict, RandomForestClassifier]:
    """The attributes of a forest that scikit-learn learned; its nodes in order, or the last first."""
    labels = np.digitize(ROWS[:, 0] + ROWS[:, 1] ** 2, [0, 1])
    model = RandomForestClassifier(6, max_depth=5, random_state=0).fit(ROWS, labels)
    rows = []
    for number, one in enumerate(model.estimators_):
        tree = one.tree_
        for place in range(tree.node_count):
            leaf = tree.children_left[place] < 0
            threshold = float(np.float32(tree.threshold[place]))
            at = (number, place, max(0, int(tree.feature[place])), 0.0 if leaf else threshold, "LEAF" if leaf else mode)
            rows.append(
                (*at, max(0, int(tree.children_left[place])), max(0, int(tree.children_right[place])), tree.value[place, 0] if leaf else [])
            )
    rows = rows[::-1] if backwards else rows
    names = ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
    told = {f"nodes_{name}": [row[at] for row in rows] for at, name in enumerate(names)}
    weights = [(row[0], row[1], number, float(value) / 6) for row in rows for number, value in enumerate(row[7])]
    told |= {f"class_{name}": [one[at] for one in weights] for at, name in enumerate(("treeids", "nodeids", "ids", "weights"))}
    return told | {"classlabels_strings": ["a", "b", "c"], "post_transform": transform}, model


def forest_file(path, told):
    nodes = [node("TreeEnsembleClassifier", "x", "label y", ML, **told)]
    return saved(path, nodes, ("label", "y"))


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("mode", ["BRANCH_LEQ", "BRANCH_LT"])
def test_a_forest(mode, backwards, tmp_path):
    told, model = forest(mode, backwards=backwards)
    program, labels, margins = compile_onnx(read_onnx(forest_file(tmp_path / "m.onnx", told)), WIDTH)
    found = program.compiled()(ROWS.astype(float))
    assert (labels, margins) == (["a", "b", "c"], False)
    assert np.abs(found - model.predict_proba(ROWS)).max() < 1e-6
    assert np.array_equal(found.argmax(axis=1), model.predict(ROWS))


def test_a_value_on_a_threshold_goes_as_the_mode_says(tmp_path):
    tree = {"treeids": [0] * 3, "nodeids": [0, 1, 2], "featureids": [0] * 3, "values": [1.5, 0.0, 0.0]}
    told = {f"nodes_{name}": value for name, value in tree.items()}
    told |= {"nodes_truenodeids": [1, 0, 0], "nodes_falsenodeids": [2, 0, 0], "classlabels_ints": [0, 1]}
    told |= {"class_treeids": [0, 0], "class_nodeids": [1, 2], "class_ids": [0, 1], "class_weights": [1.0, 1.0]}
    for mode, wanted in (("BRANCH_LEQ", [1.0, 0.0]), ("BRANCH_LT", [0.0, 1.0])):
        path = forest_file(tmp_path / f"{mode}.onnx", told | {"nodes_modes": [mode, "LEAF", "LEAF"]})
        program, _, _ = compile_onnx(read_onnx(path), WIDTH)
        assert program.compiled()(np.full((1, WIDTH), 1.5)).tolist() == [wanted]


RELU = CHAINS["relu"]


def bad_forest(**changed):
    told, _ = forest()
    return lambda path: forest_file(path, told | changed)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: saved(p, [node("Erf", "x", "y")]), "the model's operator Erf is not compiled; there are Add, BatchNormalization"),
        (lambda p: saved(p, [node("Relu", "x", "r"), node("LSTM", "r a a", "y", hidden_size=2)], **HIDDEN), "LSTM is not compiled"),
        (lambda p: saved(p, [node("TreeEnsemble", "x", "y", ML)]), "TreeEnsemble is not compiled"),
        (lambda p: saved(p, [node("Relu", "x", "r"), node("Add", "x r", "y")]), "operator Add joins 'x', 'r'; only a chain"),
        (lambda p: saved(p, [node("MatMul", "x x", "y")]), "MatMul joins 'x', 'x'"),
        (lambda p: saved(p, [*RELU, *ENDS], **HIDDEN | {"c": W2[:3]}), r"Gemm has weights of the shape \(3, 3\), and 8 inputs"),
        (lambda p: saved(p, [*RELU, *ENDS], width=7, **HIDDEN), "the model takes 7 features, and the layout has 5"),
        (lambda p: saved(p, [node("Gemm", "x a b", "y", transA=1)], **HIDDEN), "constant or transposed first input"),
        (lambda p: saved(p, [node("Softmax", "x", "y", axis=0)]), "Softmax along axis 0"),
        (lambda p: saved(p, [node("Cast", "x", "y", to=7)]), "Cast to other types"),
        (lambda p: saved(p, [node("Div", "s x", "y")], **HIDDEN), "Div of a constant by a value"),
        (lambda p: saved(p, [node("Div", "x z", "y")], z=np.float32(0)), "divides by 0"),
        (lambda p: saved(p, [node("Add", "x z", "y")], z=np.float32(np.nan)), "not finite"),
        (lambda p: saved(p, [node("Add", "x b", "y")], **HIDDEN), "Add cannot be compiled"),
        (lambda p: saved(p, [node("Normalizer", "x", "y", ML, norm="L2")]), "Normalizer is compiled for probabilities"),
        (lambda p: saved(p, [node("ArgMax", "x", "y", axis=1)]), "tells a label only"),
        (lambda p: saved(p, [node("Relu", "q", "y")]), "'q' does not come from its input 'x'"),
        (bad_forest(nodes_modes=["BRANCH_EQ"] * len(forest()[0]["nodes_modes"])), "mode 'BRANCH_EQ' is not compiled"),
        (bad_forest(nodes_truenodeids=[0] * len(forest()[0]["nodes_modes"])), "without one root|reached twice"),
        (bad_forest(nodes_falsenodeids=forest()[0]["nodes_truenodeids"]), "without one root|reached twice"),
        (bad_forest(nodes_featureids=[99] * len(forest()[0]["nodes_modes"])), "looks at feature 99, and there are 5"),
        (bad_forest(class_ids=[9] * len(forest()[0]["class_ids"])), "for class 9"),
        (bad_forest(class_nodeids=[9999] * len(forest()[0]["class_ids"])), "node 9999"),
        (bad_forest(nodes_values=[1.0]), "cannot be compiled"),
        (bad_forest(post_transform="PROBIT"), "post_transform 'PROBIT'"),
    ],
)
def test_what_is_not_compiled_is_named(make, says, tmp_path):
    with pytest.raises(ModelError, match=says) as caught:
        compile_onnx(read_onnx(make(tmp_path / "m.onnx")), WIDTH)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("content", [b"", b"\x00", b"nonsense" * 99, b"\x08\x07", b"\x80\x04\x95", b"\x3a\xff\xff\xff\xff\x0f"])
def test_what_is_no_onnx_file_is_one_sentence(content, tmp_path):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"m\.onnx is no ONNX model that can be read"):
        read_onnx(tmp_path / "m.onnx")


def test_weights_in_another_file_are_never_looked_for(tmp_path):
    path = saved(tmp_path / "m.onnx", [*RELU, *ENDS], **HIDDEN)
    model = onnx.load(str(path))
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    model.graph.initializer[0].external_data.add(key="location", value="/etc/passwd")
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="are in another file"):
        read_onnx(path)


def test_a_device_and_a_missing_file(tmp_path):
    with pytest.raises(ModelError, match="no regular file"):
        read_onnx("/dev/zero")
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        read_onnx(tmp_path / "none.onnx")
