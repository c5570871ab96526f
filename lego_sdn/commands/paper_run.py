"""What the commands of `lego paper` have in common: how they begin and end, where they say things, and what they write."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lego_sdn.commands.ending import ends_in_order
from lego_sdn.core.facts.json_text import json_text

if TYPE_CHECKING:
    from rich.console import Console

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
captures = click.argument("captures", nargs=-1, type=FILE)
model = click.option("--model", type=FILE, help="Model; default: learned from the benign part.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
out = click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=".", show_default=True, help="Folder for plot and data."
)


@contextmanager
def experiment() -> Iterator[Path]:
    """A folder for an experiment that needs root; it and all that is made go at the end, whatever signal ends it."""
    from lego_sdn.agent.server import require_root

    require_root()
    with ends_in_order(), tempfile.TemporaryDirectory(prefix="lego-") as folder:
        yield Path(folder)


class Output:
    """Progress and tables on standard output, or on standard error if that is for JSON; plot and data in a folder (None: nowhere)."""

    def __init__(self, folder: Path | None, as_json: bool) -> None:
        from lego_sdn.adapters.terminal.tables import open_console
        from lego_sdn.experiments.paper.inputs import make_folder

        self.folder, self._as_json = make_folder(folder) if folder is not None else None, as_json
        self.console: Console = open_console(stderr=as_json)

    def say(self, line: str) -> None:
        """A line of progress."""
        self.console.print(line, soft_wrap=True, markup=False)

    def give(self, name: str, data: dict[str, Any], draw: Callable[[Path], None], show: Callable[[Console], None]) -> None:
        """Draw NAME.png, write NAME.json, and print the data or show the tables."""
        assert self.folder is not None
        plot, text = self.folder / f"{name}.png", json_text(data)
        draw(plot)
        plot.with_suffix(".json").write_text(text + "\n")
        if self._as_json:
            click.echo(text)
            return
        show(self.console)
        self.say(f"drawn: {plot}; data: {plot.with_suffix('.json')}")
