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
            yield from (pytest.param(option, kind, id="-".join((*words, name, option.name))) for kind in kinds)


NUMBERS = [one for one in declared(lego) if isinstance(one.values[1], (click.types.IntParamType, click.types.FloatParamType))]


@pytest.mark.parametrize(("option", "kind"), [one for one in NUMBERS if one.values[0].name != "threshold"])  # it says so by itself
@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "-1e999", "", "x", "9" * 5000])
def test_what_is_no_number_is_refused(option, kind, text):
    if text == "9" * 5000 and isinstance(kind, click.types.IntParamType):
        text = "9" * 5000 + "x"
    with pytest.raises(click.BadParameter):
        kind.convert(text, option, None)


def test_there_are_such_options():
    assert len(NUMBERS) > 30


@pytest.mark.parametrize("text", ["nan:5", "5:inf", "1e999:3", "x:1", "5"])
def test_a_shape_of_what_is_no_number_is_refused(text):
    with pytest.raises(click.UsageError):
        parse_shape(text)
