"""The `lego` command: a table of commands, each loaded when it is used, so that `lego --help` answers at once."""

from __future__ import annotations

import io
import os
import sys

import click

from lego_sdn.commands.lazy import Lazy
from lego_sdn.core.facts.errors import LegoError

# name -> (module in lego_sdn.commands, one line for the help)
COMMANDS = {
    "run": ("run", "Do the main job on a capture or on synthetic traffic, and show it."),
    "granularity": ("granularity", "Show by which header group an NF's traffic may be split, and what is exact."),
    "nf": ("nf", "List network functions, or show what one declares."),
    "features": ("offline", "Write the features of every packet of a capture."),
    "train": ("offline", "Learn a model from a capture."),
    "import": ("model_import", "Compile an ONNX model for a network function."),
    "watch": ("watch", "Detect on an interface or a capture, without a switch."),
    "score": ("offline", "Score every packet of a capture with a model."),
    "explain": ("explain", "Say why a packet of a capture has its score."),
    "profile": ("profile", "Measure what each brick costs on this machine."),
    "verify": ("verify", "Check that a split changes no score; print the paper's Table II."),
    "plan": ("plan", "Predict what a split of a capture's traffic would do, and whether it pays."),
    "prove": ("prove", "Prove on a live switch that moves change no score."),
    "synth": ("synth", "Write a capture of synthetic IoT traffic, with or without an infected device."),
    "replay": ("traffic", "Send a capture into an interface at a given rate."),
    "agent": ("host", "Run the agent of this host (root)."),
    "up": ("host", "Start Open vSwitch if needed, the agent and the controller."),
    "down": ("host", "Stop what `lego up` started."),
    "status": ("control", "Show the running system."),
    "top": ("top", "Watch the running system: instances, bricks, bottlenecks, events, alerts."),
    "flows": ("control", "Show steering rules with packet counts by owner and bucket."),
    "replicate": ("control", "Start one more instance, or one more replica of a brick."),
    "merge": ("control", "Stop an instance, whose buckets go to the others, or a replica of a brick."),
    "move": ("control", "Move buckets to an instance."),
    "pause": ("control", "Leave instances and bricks as they are, whatever the load."),
    "resume": ("control", "Let the load decide again."),
    "bench": ("bench", "Measure this machine: stages alone and chained."),
    "paper": ("paper", "Run the paper's experiments again."),
}


@click.group(cls=Lazy, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lego-sdn")
def lego() -> None:
    """Elastic network functions built on neural networks: exact splitting, bricks, steering, runtime management."""


def main() -> None:
    """Entry point: exit code 0, 1 (a check failed), 2 (bad use or input)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # of characters that the terminal's encoding lacks
    try:
        code = lego(standalone_mode=False)  # click hands an `Exit` back as its code
        sys.stdout.flush()
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except LegoError as error:
        for note in getattr(error, "__notes__", ()):
            if note not in str(error):
                click.echo(f"lego: warning: {note}", err=True)
        click.echo(f"lego: {error}", err=True)
        sys.exit(2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whoever read has gone: nothing more is to be written
        sys.exit(1)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        click.echo(f"lego: {error.strerror or error}{where}: see to that, and try again", err=True)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what could not be written is not tried once more
        sys.exit(2)
    except MemoryError as error:
        why = f" ({error})" if str(error) else ""
        click.echo(f"lego: there is not enough memory for this{why}: ask for less, or free some", err=True)
        sys.exit(2)
    if code:
        sys.exit(code)
