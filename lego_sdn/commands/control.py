"""Commands that ask the running controller, over REST: what it does, and to do something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from lego_sdn.commands.numbers import MOST_NUMBER
from lego_sdn.core.facts.errors import HostError
from lego_sdn.core.facts.json_text import json_text
from lego_sdn.core.facts.text import whole_number


def asks(command: Callable) -> Callable:
    """The options of every command here: where the controller is, and how to print."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option("--rest", metavar="HOST:PORT", help="Where the controller answers; default: as configured."),
        click.option("--config", "--lego-config", "lego_config", envvar="LEGO_CONFIG", metavar="FILE", help="Configuration file (YAML)."),
    ):
        command = option(command)
    return command


@click.command("status")
@asks
def status(lego_config: str | None, rest: str | None, as_json: bool) -> None:
    """Show the running system: what is missing, instances, bricks with their costs and estimates, what holds them up, rules, alerts."""
    from lego_sdn.commands.status_view import show

    address = where(rest, lego_config)
    found = request(address, "GET", "status")
    print_json(found) if as_json else show(found, request(address, "GET", "bricks")["bricks"])


@click.command("flows")
@click.option("--all", "everything", is_flag=True, help="Every rule, also those without packets.")
@asks
def flows(everything: bool, lego_config: str | None, rest: str | None, as_json: bool) -> None:
    """Show steering rules with packet counts by owner and bucket."""
    found = request(where(rest, lego_config), "GET", "flows")
    print_json(found) if as_json else _show_flows(found, everything)


@click.command("replicate")
@click.option("--brick", metavar="KIND", help="Replicate this kind of brick (e.g. unsupervised-network) within an instance instead.")
@click.option("--instance", type=click.IntRange(1, MOST_NUMBER), help="In which instance; may be left out where one runs.")
@asks
def replicate(brick: str | None, instance: int | None, lego_config: str | None, rest: str | None, as_json: bool) -> None:
    """Start one more instance, or one more replica of a brick."""
    if instance is not None and brick is None:
        raise click.UsageError("--instance says where a brick is replicated: give --brick KIND too")
    _do("replicate", _body(instance=instance, brick=brick), where(rest, lego_config), as_json)


@click.command("merge")
@click.option("--brick", metavar="ID", help="Stop this replica (e.g. unsupervised-network-1) instead; its kind's others take over.")
@click.option(
    "--instance", type=click.IntRange(1, MOST_NUMBER), help="The instance that goes (default: the least loaded), or that has the replica."
)
@asks
def merge(brick: str | None, instance: int | None, lego_config: str | None, rest: str | None, as_json: bool) -> None:
    """Give an instance's buckets to the others and stop it, or stop a replica of a brick."""
    _do("merge", _body(instance=instance, brick=brick), where(rest, lego_config), as_json)


@click.command("move")
@click.argument("listed", metavar="[BUCKET]...", nargs=-1)
@click.option("--buckets", multiple=True, metavar="0-31,40", help="Buckets, as ranges and numbers; instead of BUCKET... or besides.")
@click.option("--to", "instance", type=click.IntRange(1, MOST_NUMBER), help="The new owner.")
@click.option(
    "--assignment", type=click.Path(exists=True, dir_okay=False), help="Give every bucket to the owner that 'lego plan --out' chose."
)
@asks
def move(listed: tuple[str, ...], buckets: tuple[str, ...], instance: int | None, assignment: str | None, **asked: Any) -> None:
    """Move buckets to an instance, with the state of their sources: lego move --buckets 0-63 --to 2, or lego move --assignment FILE."""
    from lego_sdn.adapters.files.assignment import parse_buckets, read_assignment

    if (assignment is None) == (instance is None and not listed and not buckets) or (assignment is None and instance is None):
        raise click.UsageError("wanted buckets and --to INSTANCE, or --assignment FILE")
    if assignment is not None:
        body: dict[str, Any] = {"assignment": read_assignment(assignment).by_owner}
    else:
        body = {"buckets": parse_buckets((*listed, *buckets)), "instance": instance}
        if not body["buckets"]:
            raise click.UsageError("no bucket is named")
    _do("move", body, where(asked["rest"], asked["lego_config"]), asked["as_json"])


@click.command("pause")
@asks
def pause(lego_config: str | None, rest: str | None, as_json: bool) -> None:
    """Leave instances and bricks as they are, whatever the load."""
    _do("pause", {}, where(rest, lego_config), as_json, "scaling is paused; 'lego resume' ends that")


@click.command("resume")
@asks
def resume(lego_config: str | None, rest: str | None, as_json: bool) -> None:
    """Scale again; starts that were given up are tried again."""
    _do("resume", {}, where(rest, lego_config), as_json, "scaling goes on")


def where(rest: str | None, config: str | None) -> tuple[str, int]:
    """Host and port of the controller's REST server. Raises LegoError if the address or the configuration is wrong."""
    if rest is None:
        from lego_sdn.adapters.files import configfile
        from lego_sdn.core.facts.config import Config

        found = (configfile.load(config, follows_policy=False) if config else Config()).rest
        return found.host, found.port
    host, _, port = rest.rpartition(":")
    if not host or (number := whole_number(port)) is None or number > 65535:
        raise HostError(f"--rest: wanted HOST:PORT, found {rest!r}")
    return host.strip("[]"), number


def request(address: tuple[str, int], method: str, name: str, body: Any = None) -> dict[str, Any]:
    """`adapters.rest.request`, whose modules only a command that asks needs."""
    from lego_sdn.adapters.rpc import rest_client

    return rest_client.request(address, method, name, body)


def _body(**given: Any) -> dict[str, Any]:
    return {key: value for key, value in given.items() if value is not None}


def _do(name: str, body: dict[str, Any], address: tuple[str, int], as_json: bool, done: str = "") -> None:
    answer = request(address, "POST", name, body)
    print_json(answer) if as_json else click.echo(done or f"{name} is begun; 'lego status' shows how it goes")


def print_json(data: Any) -> None:
    click.echo(json_text(data, indent=2))


def _show_flows(found: dict[str, Any], everything: bool) -> None:
    from lego_sdn.adapters.terminal.tables import Grid, open_console

    table = Grid("table", "role", "family", "bucket", "owner", "packets", "bytes", left=("table", "role", "family"))
    shown = [flow for flow in found["flows"] if everything or flow["packets"]]
    for flow in shown:
        cells = (
            f"{flow['table']} {flow['stage']}",
            flow["role"],
            flow["family"],
            flow["bucket"],
            flow["owner"],
            flow["packets"],
            flow["bytes"],
        )
        table.add_row(*("" if cell is None else str(cell) for cell in cells))
    console = open_console()
    if shown:
        console.print(table)
    counts = ", ".join(
        f"instance {owner}: {packets}" for owner, packets in sorted(found["packets_by_owner"].items(), key=lambda item: int(item[0]))
    )
    console.print(f"{len(found['flows'])} rules, {len(shown)} shown. Packets steered to their owner: {counts or 'none'}.")
