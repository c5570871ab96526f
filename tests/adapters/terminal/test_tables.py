"""Tables on terminals of any width, and in a pipe: no heading and no cell is cut, and no line is longer than the terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from lego_sdn.adapters.terminal.tables import UNBOUNDED, Grid, open_console

NAMES = ("instance", "brick", "packets/s", "CPU of quota", "queue", "µs/packet", "deadline ms", "late")
ROWS = (
    ("1", "unsupervised-network-0", "812", "99%", "4,096", "245.5", "12.50", "3.1%"),
    ("12", "sample-result-0", "1,234,567", "0%", "0", "", "", ""),
)


def shown(grid: Grid, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, no_color=True)
    console.print(grid)
    return console.file.getvalue().splitlines()


def grid(**how: object) -> Grid:
    made = Grid(*NAMES, left=("brick",), keys=2, title="bricks", **how)
    for row in ROWS:
        made.add_row(*row)
    return made


@pytest.mark.parametrize("width", [48, 60, 80, 100, 200])
def test_every_cell_and_every_word_of_a_heading_is_whole_on_a_terminal_of_any_width(width):
    lines = shown(grid(), width)
    words = {word for line in lines for word in line.replace("│", " ").replace("┃", " ").split()}
    assert max(map(len, lines)) <= width
    assert {word for name in NAMES for word in name.split()} | {cell for row in ROWS for cell in row if cell} <= words


def test_each_part_begins_with_the_keys():
    rows = [line for line in shown(grid(), 60) if "unsupervised-network-0" in line]
    assert len(rows) > 1
    assert all(row.replace("│", " ").split()[:2] == ["1", "unsupervised-network-0"] for row in rows)


def test_a_cell_longer_than_the_terminal_is_folded_and_whole():
    made = Grid("what", "told", left=("what", "told"))
    made.add_row("loads", " ".join(f"{n}%" for n in range(100)))
    lines = shown(made, 40)
    assert max(map(len, lines)) <= 40
    assert {f"{n}%" for n in range(100)} <= {word for line in lines for word in line.replace("│", " ").split()}


def test_a_table_without_rows_and_one_narrower_than_its_key_are_drawn():
    assert any("brick" in line for line in shown(Grid(*NAMES), 200))
    assert max(map(len, shown(grid(), 12))) <= 200


def test_brackets_in_a_cell_are_text():
    made = Grid("name", left=("name",))
    made.add_row("[red]brick[/red]")
    assert any("[red]brick[/red]" in line for line in shown(made, 80))


def test_what_is_no_terminal_has_no_bound(capsys):
    console = open_console()
    assert console.width == UNBOUNDED
    console.print("word " * 500)
    assert len(capsys.readouterr().out.strip().splitlines()) == 1
