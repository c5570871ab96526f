"""The page on tests of one's own does what it says: its tests pass as they stand there, and fail where what they test is wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
FENCED = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: str) -> list[tuple[str, str, str]]:
    """(language, file name or "", text) of each."""
    return FENCED.findall((DOCS / page).read_text(encoding="utf-8"))


@pytest.fixture
def folder(tmp_path):
    """The page's tests, with the policy and the NF that they test, as their own pages have them."""
    files = {
        name: text for page in ("how-to/test-your-own.md", "tutorials/your-first-nf.md") for _, name, text in blocks(page) if ".py" in name
    }
    files["patient.py"] = next(text for language, _, text in blocks("how-to/policies.md") if language == "python")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def outcome(folder: Path, test: str) -> tuple[int, str]:
    """Exit code and output of pytest in a process of its own, which knows LEGO and this folder."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test]
    paths = os.pathsep.join([str(folder), str(ROOT)])
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, timeout=300, check=False
    )
    return done.returncode, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("test", "count"), [("test_patient.py", 3), ("test_cards.py", 5)])
def test_the_tests_of_the_page_pass(folder, test, count):
    code, text = outcome(folder, test)
    assert code == 0, text
    assert f"{count} passed" in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "right", "wrong", "test"),
    [
        ("patient.py", "rate > EACH", "rate > 9 * EACH", "test_patient.py"),
        ("cards/bricks.py", "self.state.put((mac,), (packets", "self.state.put((mac & ~1,), (packets", "test_cards.py"),
    ],
)
def test_they_fail_where_the_policy_or_the_brick_is_wrong(folder, file, right, wrong, test):
    text = (folder / file).read_text()
    assert right in text
    (folder / file).write_text(text.replace(right, wrong))
    assert outcome(folder, test)[0] == 1
