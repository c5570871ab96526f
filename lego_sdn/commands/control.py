"""Commands that ask the running controller, over REST: what it does, and to do something."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from lego_sdn.core.errors import HostError, LegoError

TIMEOUT_S = 10.0
STAMPS = ("gaps", "repeats", "reordered")  # of stamps, by instance


class Refused(LegoError):
    """The controller answered that it will not, or cannot; the text is its own."""


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
    """Show the running system: what is missing, instances and their load, rules, alerts."""
    found = request(where(rest, lego_config), "GET", "status")
    _print_json(found) if as_json else _show_status(found)


@click.command("flows")
@click.option("--all", "everything", is_flag=True, help="Every rule, also those without packets.")
@asks
def flows(everything: bool, lego_config: str | None, rest: str | None, as_json: bool) -> None:
    """Show steering rules with packet counts by owner and bucket."""
    found = request(where(rest, lego_config), "GET", "flows")
    _print_json(found) if as_json else _show_flows(found, everything)


@click.command("replicate")
@asks
def replicate(lego_config: str | None, rest: str | None, as_json: bool) -> None:
    """Start one more instance."""
    _do("replicate", {}, where(rest, lego_config), as_json)


@click.command("merge")
@click.option("--instance", type=int, help="The instance that goes; default: the least loaded.")
@asks
def merge(instance: int | None, lego_config: str | None, rest: str | None, as_json: bool) -> None:
    """Give an instance's buckets to the others and stop it."""
    _do("merge", {} if instance is None else {"instance": instance}, where(rest, lego_config), as_json)


@click.command("move")
@click.argument("listed", metavar="[BUCKET]...", nargs=-1)
@click.option("--buckets", multiple=True, metavar="0-31,40", help="Buckets, as ranges and numbers; instead of BUCKET... or besides.")
@click.option("--to", "instance", type=int, help="The new owner.")
@click.option(
    "--assignment", type=click.Path(exists=True, dir_okay=False), help="Give every bucket to the owner that 'lego plan --out' chose."
)
@asks
def move(listed: tuple[str, ...], buckets: tuple[str, ...], instance: int | None, assignment: str | None, **asked: Any) -> None:
    """Move buckets to an instance, with the state of their sources: lego move --buckets 0-63 --to 2, or lego move --assignment FILE."""
    from lego_sdn.adapters.assignment import parse_buckets, read_assignment

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
    """Leave the number of instances as it is, whatever the load."""
    _do("pause", {}, where(rest, lego_config), as_json)


@click.command("resume")
@asks
def resume(lego_config: str | None, rest: str | None, as_json: bool) -> None:
    """Scale again; starts that were given up are tried again."""
    _do("resume", {}, where(rest, lego_config), as_json)


def where(rest: str | None, config: str | None) -> tuple[str, int]:
    """Host and port of the controller's REST server. Raises LegoError if the address or the configuration is wrong."""
    if rest is None:
        from lego_sdn.adapters import configfile
        from lego_sdn.core.config import Config

        found = (configfile.load(config) if config else Config()).rest
        return found.host, found.port
    host, _, port = rest.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise HostError(f"--rest: wanted HOST:PORT, found {rest!r}")
    return host.strip("[]"), int(port)


def request(address: tuple[str, int], method: str, name: str, body: Any = None) -> dict[str, Any]:
    """What the controller answers. HostError if nobody answers there, Refused with its own words if it will not."""
    import http.client

    connection = http.client.HTTPConnection(*address, timeout=TIMEOUT_S)
    written = f"{address[0]}:{address[1]}"
    try:
        connection.request(method, f"/lego/v1/{name}", None if body is None else json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        status_code, text = response.status, response.read()
        answer = json.loads(text)
    except (OSError, http.client.HTTPException) as error:
        raise HostError(f"no controller answers on {written} ({error}): start it with 'lego up', or give --rest HOST:PORT") from error
    except ValueError as error:
        raise HostError(f"what answers on {written} is no LEGO controller: give --rest HOST:PORT") from error
    finally:
        connection.close()
    if status_code >= 400:
        raise Refused(f"{answer['error']}: {answer['detail']}")
    return answer


def _do(name: str, body: dict[str, Any], address: tuple[str, int], as_json: bool) -> None:
    answer = request(address, "POST", name, body)
    _print_json(answer) if as_json else click.echo(f"{name} is begun; 'lego status' shows how it goes")


def _print_json(data: Any) -> None:
    click.echo(json.dumps(data, indent=2))


def _show_status(found: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    bridge, agent, rules = found["bridge"], found["agent"], found["rules"]
    console.print(f"[bold]{found['state']}[/bold] for {found['uptime_s']:.0f} s: {found['nf']} ({found['layout']}), ", end="")
    exact = "exact" if found["exact"] else "without shadows (lego granularity says what differs)"
    console.print(f"{exact}, {found['buckets']} buckets{', scaling paused' if found['paused'] else ''}")
    for sentence in found["missing"]:
        console.print(f"[yellow]missing:[/yellow] {sentence}", soft_wrap=True)
    console.print(f"bridge {bridge['name']}: {'connected, ' + bridge['dpid'] if bridge['connected'] else 'not connected'}; ", end="")
    console.print(f"agent: {'answers' if agent['answers'] else 'does not answer'}; rules: version {rules['in_force']}", end="")
    console.print(f" ({rules['version']} wanted)" if rules["version"] != rules["in_force"] else "", end="")
    console.print(f"; alerts: {found['alerts']}")
    if found["instances"]:
        console.print(_instances(found["instances"]))


def _instances(rows: list[dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table()
    columns = ("instance", "phase", "port", "buckets", "packets/s", "CPU of quota", "queue", "lost/s", "µs/packet", *STAMPS)
    for column in columns:
        table.add_column(column, justify="left" if column == "phase" else "right")
    for row in rows:
        load, stamps = row.get("load"), row.get("stamps")
        cells = [str(row[key]) for key in ("instance", "phase", "ofport", "buckets")]
        if load:
            cells += [f"{load['packets']:.0f}", f"{load['cpu']:.0%}", f"{load['queue']:.0%}"]
            cells += [f"{load['drops']:.0f}", f"{load['service_us']:.1f}"]
        if stamps:
            cells += [""] * (len(columns) - len(STAMPS) - len(cells))
            cells += [f"{stamps[name]:,}" for name in STAMPS]
        table.add_row(*cells)
    return table


def _show_flows(found: dict[str, Any], everything: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for column in ("table", "role", "family", "bucket", "owner", "packets", "bytes"):
        table.add_column(column, justify="left" if column in ("table", "role", "family") else "right")
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
    console = Console(highlight=False)
    if shown:
        console.print(table)
    counts = ", ".join(
        f"instance {owner}: {packets}" for owner, packets in sorted(found["packets_by_owner"].items(), key=lambda item: int(item[0]))
    )
    console.print(f"{len(found['flows'])} rules, {len(shown)} shown. Packets steered to their owner: {counts or 'none'}.")
