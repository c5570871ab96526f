"""All commands of `lego`, with their parameters, as click knows them."""

from __future__ import annotations

from collections.abc import Iterator

import click

from lego_sdn.cli import lego


def commands(group: click.Command = lego, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """(words that name it, command) of every command that is no group."""
    if not isinstance(group, click.Group):
        yield words, group
        return
    for name in group.list_commands(click.Context(group)):
        found = group.get_command(click.Context(group), name)
        assert found is not None
        yield from commands(found, (*words, name))


def parameters() -> Iterator[tuple[tuple[str, ...], click.Parameter]]:
    for words, command in commands():
        for parameter in command.params:
            yield words, parameter
