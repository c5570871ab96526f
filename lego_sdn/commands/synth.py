"""`lego synth`: a capture that the project makes itself, for those who have none."""

from __future__ import annotations

from pathlib import Path

import click

from lego_sdn.core.facts.json_text import json_text


@click.command("synth", short_help="Write a capture of synthetic IoT traffic.")
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--benign", type=click.IntRange(0, 10_000_000), default=20_000, show_default=True, help="Packets before the infection.")
@click.option(
    "--attack", type=click.IntRange(0, 10_000_000), default=5_000, show_default=True, help="Packets after it, benign ones among them."
)
@click.option("--devices", type=click.IntRange(2, 200), default=12, show_default=True, help="Devices in the network.")
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), default=1, show_default=True, help="The same seed gives the same bytes.")
@click.option("--split", is_flag=True, help="Write two captures, OUT-benign.pcap and OUT-attack.pcap.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def synth(out: Path, benign: int, attack: int, devices: int, seed: int, split: bool, as_json: bool) -> None:
    """Write a pcap of IoT devices, one of which becomes a Mirai-like scanner (ARP and telnet), and say which."""
    from lego_sdn.adapters.files.outputs import output_path, replacing
    from topologies.traffic import traffic, write_pcap

    files = [(out.with_name(f"{out.stem}-{part}.pcap"), rows) for part, rows in _parts(benign)] if split else [(out, slice(None))]
    for path, _ in files:
        output_path(path)  # before the work
    made = traffic(devices, benign, attack, seed)
    for path, rows in files:
        with replacing(path) as fresh:
            write_pcap(fresh, made.frames[rows], made.times_us[rows])
    labels = made.labels
    if as_json:
        facts = {"infected": labels.infected, "infected_mac": labels.infected_mac, "first_attack": labels.first_attack}
        counts = {"packets": len(made.frames), "attack_packets": int(labels.attack.sum())}
        click.echo(json_text({"files": [str(path) for path, _ in files], **facts, **counts}))
        return
    seconds = (made.times_us[-1] - made.times_us[0]) / 1e6 if made.frames else 0.0
    click.echo(f"wrote {len(made.frames):,} packets, {seconds:,.0f} s, to {' and '.join(str(path) for path, _ in files)}")
    if attack:
        click.echo(
            f"{labels.infected} ({labels.infected_mac}) is infected from packet {labels.first_attack:,} on "
            f"and sends {int(labels.attack.sum()):,} packets of attack"
        )


def _parts(benign: int) -> list[tuple[str, slice]]:
    return [("benign", slice(0, benign)), ("attack", slice(benign, None))]
