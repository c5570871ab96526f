"""What a command does with warnings about captures: it says them, and a partial result does not look like a whole one."""

from __future__ import annotations

from collections.abc import Iterable

import click

from lego_sdn.core.facts.loss import is_partial

PARTIAL = click.option("--partial", is_flag=True, help="Accept a partial result: exit code 0 though packets of the captures were lost.")


def warn(warnings: Iterable[str]) -> None:
    """Say them on standard error."""
    for warning in warnings:
        click.echo(f"lego: warning: {warning}", err=True)


def end(warnings: Iterable[str], accepted: bool, code: int = 0) -> None:
    """End a command whose result is written: with `code`, or with 1 if the result is partial and that is not `accepted`."""
    if is_partial(warnings) and not accepted:
        click.echo("lego: the result is partial: not all packets of the captures are in it; --partial accepts that", err=True)
        code = code or 1
    if code:
        raise click.exceptions.Exit(code)
