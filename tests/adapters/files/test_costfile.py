"""The file of a cost model beside its model: whole, of that model, or an error that says what to do."""

from __future__ import annotations

import json

import pytest

from lego_sdn.adapters.files import costfile
from lego_sdn.core.cost.measurements import CostError
from lego_sdn.core.facts.errors import LegoError
from tests.core.cost.costs import kitsune


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "kitsune.model"
    path.write_bytes(b"LEGO model 1\n")
    return path


def test_what_is_written_is_read_and_nothing_else_is_left(model):
    assert costfile.read(model) is None
    path = costfile.write(model, kitsune())
    assert path.name == "kitsune.model.costs.json"
    assert costfile.read(model) == kitsune()
    assert sorted(p.name for p in model.parent.iterdir()) == ["kitsune.model", "kitsune.model.costs.json"]


def test_costs_of_another_model_are_refused(model):
    costfile.write(model, kitsune())
    model.write_bytes(b"LEGO model 1\nanother")
    with pytest.raises(CostError, match=r"are of another model than .*; make them anew with `lego profile`"):
        costfile.read(model)


@pytest.mark.parametrize(("text", "message"), [("{", "are no JSON"), ("[]", "version 1"), (json.dumps({"version": 9}), "found 9")])
def test_a_damaged_file_is_refused(model, text, message):
    costfile.path_of(model).write_text(text)
    with pytest.raises(CostError, match=message):
        costfile.read(model)


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(LegoError, match="cannot be written"):
        costfile.write(tmp_path / "no" / "model", kitsune())
