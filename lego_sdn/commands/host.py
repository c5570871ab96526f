"""`lego agent`, `lego up` and `lego down`: the processes of this host."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING

import click

from lego_sdn.core.facts.text import whole_number

if TYPE_CHECKING:
    from lego_sdn.core.facts.config import Config

CONFIG = click.option("--config", "path", type=click.Path(dir_okay=False), envvar="LEGO_CONFIG", help="Configuration file (YAML).")
RUN_DIR = click.option("--run-dir", type=click.Path(file_okay=False), help="Folder of sockets, logs and journals, instead of run_dir.")


@click.command("agent", short_help="Run the agent of this host (root).")
@CONFIG
@RUN_DIR
@click.option("--owner", metavar="USER", help="User who may talk to the agent besides root: the one who runs the controller.")
@click.option("--scores", type=click.Path(file_okay=False), help="Folder into which every instance writes its scores.")
@click.option("--verbose", is_flag=True, help="Log the stages of every start.")
def agent(path: str | None, run_dir: str | None, owner: str | None, scores: str | None, verbose: bool) -> None:
    """Make namespaces, switch ports and brick processes as the controller asks, until Ctrl-C; then remove them all."""
    from lego_sdn.adapters.linux.logs import log_printable
    from lego_sdn.agent.options import AgentOptions, require_root
    from lego_sdn.agent.server import run

    require_root()
    log_printable(logging.INFO)
    logging.getLogger("lego_sdn").setLevel(logging.DEBUG if verbose else logging.INFO)
    if scores:
        scores = _scores_folder(scores)
    run(AgentOptions.of(_config(path, run_dir), owner=_user_id(owner), scores=scores))


@click.command("up", short_help="Start Open vSwitch if needed, the agent and the controller.")
@CONFIG
@RUN_DIR
@click.option("--daemon", is_flag=True, help="Return when all is ready, and leave it running until 'lego down'.")
def up(path: str | None, run_dir: str | None, daemon: bool) -> None:
    """Start Open vSwitch if it does not run, the agent and the controller; Ctrl-C ends them and removes all that they made.

    Until then, an agent or a controller that ends or hangs is started anew, and so is an Open vSwitch that was started here; instances go
    on meanwhile. With --daemon a process in the background does that; it writes up.log.
    """
    from lego_sdn.system.background import go_on_in_background
    from lego_sdn.system.local import System

    config = _config(path, run_dir)
    parent = go_on_in_background() if daemon else None
    with System(config, say=click.echo) as system:
        click.echo(f"status: {system.url}/status; logs: {system.run_dir}")
        if parent is not None:
            click.echo("'lego down' ends it")
            parent.let_go(system.log("up"))
        try:
            while True:
                system.keep_up()
                time.sleep(0.5)  # between two looks; signals interrupt it
        except KeyboardInterrupt:
            click.echo("ending")


@click.command("down", short_help="Stop what `lego up` started.")
@CONFIG
@RUN_DIR
def down(path: str | None, run_dir: str | None) -> None:
    """End what 'lego up' started, and remove what a killed one left behind; nothing happens if there is nothing."""
    from lego_sdn.system.shutdown import take_down

    config = _config(path, run_dir)
    ended = take_down(config)
    for words in ended:
        click.echo(f"ended {words}")
    if not ended:
        click.echo(f"nothing of LEGO runs with run_dir {config.run_dir}")


def _scores_folder(scores: str) -> str:
    """The folder, made if it is not there. HostError if another user can put anything into it."""
    from pathlib import Path

    from lego_sdn.adapters.linux import owned

    folder = Path(scores).resolve()
    owned.make_folder(folder, 0o750)
    owned.require_folder(folder)
    return str(folder)


def _config(path: str | None, run_dir: str | None) -> Config:
    from dataclasses import replace

    from lego_sdn.adapters.files import configfile
    from lego_sdn.core.facts.config import Config

    config = configfile.load(path, follows_policy=False) if path else Config()  # only the controller imports a policy
    config = replace(config, run_dir=run_dir) if run_dir else config
    absolute = {
        name: os.path.abspath(value) for name in ("model", "run_dir", "agent_socket") if (value := _local(config, name)) is not None
    }
    return replace(config, **absolute)  # what is started from here runs in the root folder


def _local(config: Config, name: str) -> str | None:
    """A path of the configuration, or None: there is none, or it is on another host."""
    value = getattr(config, name)
    return None if value is None or value.startswith("tcp:") else value


def _user_id(name: str | None) -> int | None:
    import pwd

    from lego_sdn.core.facts.errors import HostError

    if name is None:
        return None
    try:
        number = whole_number(name)
        return pwd.getpwnam(name).pw_uid if number is None else number
    except (KeyError, ValueError):
        raise HostError(f"there is no user {name!r} on this host: give --owner the name or number of one who exists") from None
