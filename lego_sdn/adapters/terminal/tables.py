"""Tables of text that lose nothing: on a narrow terminal the columns stand in several parts, in a pipe all stand side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.table import Table
from rich.text import Text

UNBOUNDED = 1_000_000  # columns of what is no terminal
_FRAME = 3  # columns that a cell takes beside its text: two spaces and a line


def open_console(stderr: bool = False) -> Console:
    """Standard output (or error). Where it is no terminal, a line is as long as its text."""
    console = Console(stderr=stderr, highlight=False)
    if not console.file.isatty():
        console = Console(stderr=stderr, highlight=False, width=UNBOUNDED)
    return console


class Grid:
    """Named columns and rows of text.

    left    names of columns of words; the others are of numbers, which stand at the right
    keys    so many columns begin each part, if not all columns fit side by side
    header  False: the names are not shown
    """

    def __init__(self, *names: str, title: str = "", left: Sequence[str] = (), keys: int = 1, header: bool = True) -> None:
        self.names, self.title, self.left, self.keys, self.header = names, title, left, keys, header
        self._rows: list[list[Text]] = []
        self._ends: set[int] = set()  # rows after which a line is drawn

    def add_row(self, *cells: str | Text) -> None:
        """Cells from the left; missing ones stay empty. Markup in a `str` is shown as it is."""
        texts = [cell if isinstance(cell, Text) else Text(cell) for cell in cells]
        self._rows.append(texts + [Text()] * (len(self.names) - len(texts)))

    def add_section(self) -> None:
        """A line behind the latest row."""
        self._ends.add(len(self._rows))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        whole = [self._width(at, cell_len(name)) for at, name in enumerate(self.names)]
        if _total(whole) <= options.max_width:
            yield self._table(list(range(len(whole))), whole, self.title)
            return
        wrapped = [self._width(at, max(map(cell_len, name.split()), default=0)) for at, name in enumerate(self.names)]
        for number, part in enumerate(_parts(wrapped, self.keys, options.max_width)):
            room = options.max_width - 1 - _FRAME * len(part)
            widths = [wrapped[at] for at in part]
            if sum(widths) > room:  # the widest column alone is folded
                widest = max(range(len(part)), key=widths.__getitem__)
                widths[widest] = max(1, room - sum(widths) + widths[widest])
            yield self._table(part, widths, "" if number else self.title)

    def _width(self, at: int, name: int) -> int:
        return max([name if self.header else 0, *(row[at].cell_len for row in self._rows)])

    def _table(self, part: Sequence[int], widths: Sequence[int], title: str) -> Table:
        table = Table(title=Text(title, style="italic") if title else None, title_justify="left", show_header=self.header)
        for at, width in zip(part, widths, strict=True):
            name = self.names[at]
            table.add_column(Text(name), justify="left" if name in self.left else "right", width=width, overflow="fold")
        for number, row in enumerate(self._rows, 1):
            table.add_row(*(row[at] for at in part), end_section=number in self._ends)
        return table


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _FRAME * len(widths) + 1


def _parts(widths: Sequence[int], keys: int, room: int) -> list[list[int]]:
    """Columns of each part: the keys, and as many others as fit, at least one."""
    first = list(range(keys))
    parts: list[list[int]] = []
    for at in range(keys, len(widths)):
        if parts and _total([widths[one] for one in (*parts[-1], at)]) <= room:
            parts[-1].append(at)
        else:
            parts.append([*first, at])
    return parts or [first]
