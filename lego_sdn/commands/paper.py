"""`lego paper`: the experiments of the LEGO paper, each a command that anyone can run again."""

from __future__ import annotations

import click

from lego_sdn.commands.lazy import Lazy, Table

EXPERIMENTS: Table = {
    "figure4": ("paper_figure4", "Figure 4: throughput of the monolith, of LEGO, and of LEGO with one more replica."),
    "table2": ("paper_table2", "Table II through the live system: scores of instances behind the switch, by granularity."),
    "autoscale": ("paper_autoscale", "The same load scaled brick by brick, and by whole instances only."),
    "policies": ("paper_policies", "Scaling policies in simulation, against an oracle that knows the future."),
}


@click.group("paper", cls=Lazy, table=EXPERIMENTS, short_help="Run the paper's experiments again.")
def paper() -> None:
    """The paper's experiments, on two Mininet hosts with a real Open vSwitch (root, and the package mininet); and `policies`, simulated."""
