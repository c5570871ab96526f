"""A group of commands that are imported when they are used, so that the help of the group answers at once."""

from __future__ import annotations

import importlib
import keyword
from collections.abc import Mapping
from typing import Any

import click

Table = Mapping[str, tuple[str, str]]  # name -> (module in lego_sdn.commands, one line for the help)


class Lazy(click.Group):
    """A group whose commands are functions of their names in the modules of a table."""

    def __init__(self, *args: Any, table: Table, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.table:
            return None
        function = f"{name}_" if keyword.iskeyword(name) else name
        return getattr(importlib.import_module(f"lego_sdn.commands.{self.table[name][0]}"), function)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.table.items()])
