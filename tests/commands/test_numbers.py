"""Every option of every command that takes a number refuses what is none, in a sentence."""

import click
import pytest

from lego_sdn.cli import lego
from lego_sdn.commands.traffic import parse_shape


def declared(group, words=()):
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from declared(command, (*words, name))
            continue
        for option in command.params:
            kinds = option.type.types if isinstance(option.type, click.Tuple) else [option.type]
            yield from (("-".join((*words, name, option.name)), option, kind) for kind in kinds)


NUMBERS = [one for one in declared(lego) if isinstance(one[2], (click.types.IntParamType, click.types.FloatParamType))]


def converted(option, kind, text):
    """What an option makes of a text, or None if it refuses it."""
    try:
        return kind.convert(text, option, None)
    except click.BadParameter:
        return None


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "-1e999", "", "x", "9" * 5000])
def test_what_is_no_number_is_refused(text):
    taken = []
    for name, option, kind in NUMBERS:
        if option.name != "threshold":  # it says so by itself
            whole = text == "9" * 5000 and isinstance(kind, click.types.IntParamType)  # it is one, of any length
            taken.append((name, converted(option, kind, text + "x" if whole else text)))
    assert [(name, value) for name, value in taken if value is not None] == []


def test_there_are_such_options():
    assert len(NUMBERS) > 30


@pytest.mark.parametrize("text", ["nan:5", "5:inf", "1e999:3", "x:1", "5"])
def test_a_shape_of_what_is_no_number_is_refused(text):
    with pytest.raises(click.UsageError):
        parse_shape(text)
