"""What `lego run` and `lego prove` have in common: they play captures through a LEGO of their own, in a folder, as root."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lego_sdn.commands.numbers import FASTEST, FiniteRange
from lego_sdn.commands.partial import PARTIAL

if TYPE_CHECKING:
    from lego_sdn.core.facts.config import Config

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def plays(pps: float) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The argument and options of a command that plays captures, by default at `pps` packets/s."""

    def declare(command: Callable[..., None]) -> Callable[..., None]:
        for option in (
            PARTIAL,
            click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
            click.option(
                "--keep", type=click.Path(file_okay=False, path_type=Path), help="Keep model, traffic, scores and logs in this folder."
            ),
            click.option("--pps", type=FiniteRange(1, FASTEST), default=pps, show_default=True, help="Packets per second."),
            click.option("--model", type=_FILE, help="Model; default: learned from the benign part."),
            click.argument("captures", nargs=-1, type=_FILE),
        ):
            command = option(command)
        return command

    return declare


@contextmanager
def in_folder(keep: Path | None) -> Iterator[Path]:
    """What an experiment needs around it: root, signals that end it in order, and a folder, which goes again unless it is to be kept.
    HostError, with nothing made, if another user could have a hand in what is written there."""
    from lego_sdn.adapters.linux import owned
    from lego_sdn.agent.server import require_root
    from lego_sdn.commands.ending import ends_in_order

    require_root()
    with ends_in_order(), ExitStack() as stack:
        folder = keep.resolve() if keep else Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lego-")))
        owned.make_folder(folder, 0o750)
        owned.require_folder(folder)
        yield folder


def synthetic(folder: Path, view: Any) -> tuple[Path, ...]:
    """Two captures of our own: benign, then with an infected device."""
    from lego_sdn.adapters.files.outputs import replacing
    from topologies.traffic import traffic, write_pcap

    made = traffic()
    first = made.labels.first_attack
    paths = folder / "synthetic-benign.pcap", folder / "synthetic-attack.pcap"
    for path, rows in zip(paths, (slice(0, first), slice(first, None)), strict=True):
        with replacing(path) as fresh:
            write_pcap(fresh, made.frames[rows], made.times_us[rows])
    view.say(f"synthetic traffic: {len(made.frames):,} packets; {made.labels.infected} is infected after {first:,}")
    return paths


def on_free_ports(config: Config) -> Config:
    """Other ports where the usual ones are taken: nobody but this command needs to know them."""
    from dataclasses import replace

    from lego_sdn.adapters.rpc.wire import free_port, is_free

    rest, switch = config.rest, config.switch
    if not is_free(rest.host, rest.port):
        rest = replace(rest, port=free_port(rest.host))
    if not is_free(switch.openflow_host, switch.openflow_port):
        switch = replace(switch, openflow_port=free_port(switch.openflow_host))
    return replace(config, rest=rest, switch=switch)
