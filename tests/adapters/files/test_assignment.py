"""Files of assignments: what is written is read; anything else is refused with a reason."""

from __future__ import annotations

import json

import pytest

from lego_sdn.adapters.files.assignment import parse_buckets, read_assignment, write_assignment
from lego_sdn.core.facts.errors import LegoError


def test_what_is_written_is_read(tmp_path):
    write_assignment(tmp_path / "a", [1, 3, 3, 1])
    found = read_assignment(tmp_path / "a")
    assert (found.buckets, dict(found.by_owner), found.owners) == (4, {"1": [0, 3], "3": [1, 2]}, (1, 3, 3, 1))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "\x00",
        json.dumps({"buckets": 2, "assignment": {"1": [0]}}),
        json.dumps({"buckets": 2, "assignment": {"1": [0, 1], "2": [1]}}),
        json.dumps({"buckets": 2, "assignment": {"one": [0, 1]}}),
        json.dumps({"buckets": "x", "assignment": {}}),
        json.dumps({"buckets": 2, "assignment": [0, 1]}),
    ],
)
def test_anything_else_is_refused(tmp_path, text):
    path = tmp_path / "a"
    path.write_text(text)
    with pytest.raises(LegoError, match="is no assignment"):
        read_assignment(path)


def test_a_file_that_cannot_be_read_or_written_is_named(tmp_path):
    with pytest.raises(LegoError, match="cannot be read"):
        read_assignment(tmp_path / "none")
    with pytest.raises(LegoError, match="cannot be written"):
        write_assignment(tmp_path / "none" / "a", [1])


def test_ranges_and_numbers():
    assert parse_buckets(["0-3,8", "12", "2-2"]) == [0, 1, 2, 3, 8, 12]
