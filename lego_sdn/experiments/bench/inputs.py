"""What the stages are given: real captures where there are any, else synthetic traffic; made once, when first asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from bricks.feature_quantization import extract
from bricks.files.captures import read_packets
from bricks.files.frames import Frames, read_frames
from bricks.learning.training import Training, train_model
from bricks.models.model_file import Model, save_model
from lego_sdn.experiments.bench import captures
from lego_sdn.experiments.bench.odd import odd_frames

BENIGN, FLOOD, ORACLE = "mirai-benign-20000.pcap", "synflood-37841.pcap", "kitsune115.py"
SYNTHETIC_PACKETS = 20_000
LARGER = 4  # of the capture for several workers, who take a twentieth of a second to start and to end
MAP_VECTORS, NET_VECTORS = 5000, 50_000  # to train on, as `lego train` does unless told otherwise


@dataclass(frozen=True)
class BenchSizes:
    """How much is measured.

    runs     of every row
    packets  of large traffic, addresses of an attack
    seconds  of live traffic for each figure
    rate     packets/s at which an instance must not lose a packet
    """

    runs: int = 5
    packets: int = 1_000_000
    seconds: float = 5.0
    rate: float = 150_000.0


class Bench:
    """Sizes and inputs of one invocation. `data`: folder of real captures; `oracle`: file that defines the statistics; each may be None."""

    def __init__(self, sizes: BenchSizes, folder: Path, data: Path | None = None, oracle: Path | None = None) -> None:
        self.sizes, self.folder, self.data, self.oracle = sizes, folder, data, oracle

    @property
    def runs(self) -> int:
        return self.sizes.runs

    @property
    def traffic(self) -> str:
        """What the figures rest on, in words."""
        return f"captures of {self.data}" if self.data else "synthetic traffic (no captures given: figures on real traffic differ)"

    @cached_property
    def benign_capture(self) -> Path:
        """Ordinary traffic of a network of devices, a pcap."""
        if self.data:
            return self.data / BENIGN
        from topologies.traffic import write_capture

        path = self.folder / "benign.pcap"
        write_capture(path, benign=SYNTHETIC_PACKETS, attack=0)
        return path

    @cached_property
    def benign(self) -> np.ndarray:
        """Its packets, PACKET [packets]; never more than `sizes.packets`."""
        return read_packets([self.benign_capture])[0][: self.sizes.packets]

    @cached_property
    def frames(self) -> Frames:
        """Its frames, for the wire."""
        return read_frames([self.benign_capture])

    @cached_property
    def repeated(self) -> np.ndarray:
        """The benign packets again and again, one time line: PACKET [sizes.packets]."""
        return captures.repeated(self.benign, self.sizes.packets)

    @cached_property
    def large_capture(self) -> Path:
        """The benign frames again and again, a pcap of `sizes.packets` packets."""
        return captures.write_repeated(self.folder / "large.pcap", self.frames, self.sizes.packets)

    @cached_property
    def larger_capture(self) -> Path:
        """The same, LARGER times as many."""
        return captures.write_repeated(self.folder / "larger.pcap", self.frames, LARGER * self.sizes.packets)

    @cached_property
    def odd_capture(self) -> Path:
        """A pcap of `sizes.packets` frames of every odd kind."""
        return captures.write_repeated(self.folder / "odd.pcap", odd_frames(), self.sizes.packets)

    @cached_property
    def flood_rows(self) -> np.ndarray | None:
        """Packets of a real SYN flood, or None."""
        path = self.data / FLOOD if self.data else None
        return read_packets([path])[0] if path and path.is_file() else None

    @cached_property
    def training(self) -> Training:
        """As much training as `lego train` does, or what there are packets for."""
        map_vectors = min(MAP_VECTORS, self.sizes.packets // 4)
        return Training(fm_grace=map_vectors, ad_grace=min(NET_VECTORS, self.sizes.packets - map_vectors - 1))

    @cached_property
    def vectors(self) -> np.ndarray:
        """Features to train on and to score, float64 [vectors, 115]."""
        return extract(self.repeated[: self.training.vectors])

    @cached_property
    def model(self) -> Model:
        return train_model(self.vectors, self.training)

    @cached_property
    def model_file(self) -> Path:
        path = self.folder / "bench.model"
        save_model(self.model, path)
        return path


def find_data(given: Path | None) -> Path | None:
    """The folder with the captures if it has the benign one, else None."""
    return given if given and (given / BENIGN).is_file() else None


def find_oracle(given: Path | None, data: Path | None) -> Path | None:
    """The oracle's file: the one given, else the one beside the data, else None."""
    beside = data.parent / "oracle" / ORACLE if data else None
    return given or (beside if beside and beside.is_file() else None)
