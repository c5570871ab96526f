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

    def __init__(self, folder: Path | None, as_json: bool, name: str = "") -> None:
        from lego_sdn.adapters.terminal.tables import open_console
        from lego_sdn.experiments.paper.inputs import make_folder

        self.name, self.folder, self._as_json = name, make_folder(folder) if folder is not None else None, as_json
        self.console: Console = open_console(stderr=as_json)

    def say(self, line: str) -> None:
        """A line of progress."""
        self.console.print(line, soft_wrap=True, markup=False)

    @property
    def files(self) -> tuple[Path, Path]:
        """NAME.png and NAME.json."""
        assert self.folder is not None
        return self.folder / f"{self.name}.png", self.folder / f"{self.name}.json"

    def keep_apart(self, *inputs: Path | None) -> None:
        """Before the work: LegoError if a file that would be written is one of the inputs, or may not be replaced."""
        from lego_sdn.adapters.files.outputs import output_path

        for path in self.files:
            output_path(path, [one for one in inputs if one is not None])

    def give(self, data: dict[str, Any], draw: Callable[[Path], None], show: Callable[[Console], None]) -> None:
        """Draw NAME.png, write NAME.json, and print the data or show the tables."""
        from lego_sdn.adapters.files.outputs import replacing

        (plot, told), text = self.files, json_text(data)
        with replacing(plot) as fresh:
            draw(fresh)
        with replacing(told) as fresh:
            fresh.write_text(text + "\n")
        if self._as_json:
            click.echo(text)
            return
        show(self.console)
        self.say(f"drawn: {plot}; data: {told}")
