"""What one brick process is told: the spec of docs/reference/contract.md, checked at the door."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from bricks.nfs.registry import load
from lego_sdn.core.facts.errors import ConfigError
from lego_sdn.core.facts.headers import GROUPS
from lego_sdn.core.facts.keys import are_amounts, check_keys
from lego_sdn.core.nf.split_key import SplitKey, split_key


@dataclass(frozen=True)
class Spec:
    """One process of an instance.

    bricks      ids, chained in this order
    nf          name of the NF, as `bricks.nfs.registry.load` knows it
    model       file of an NF that has one; models: {node: file} of one that has several
    socket      where it answers calls; run_dir: folder of its log, unless `log` names another file
    rings_in    rings that the first brick reads, or {brick: rings}; rings_out {brick: rings to its next hops}. Of a brick with several
                edges: {brick: {node at the other end: rings}}
    batch       rows that go through the bricks at once, at most
    switch      the interface is a port of LEGO's switch, which says by its own tag what each frame is
    capture     settings of the packet ring; limits: bounds of the bricks' state; threshold: instead of the model's
    exact, granularity  what the NF's split key is derived from, by which keyed replicas of this instance share the stream out
    replicas    of the process at the interface, the keyed bricks that run in other processes, {brick: {"ring", "socket"}}
    slow_us     {kind: CPU microseconds burnt for every packet that a brick takes in}; deadlines {kind: milliseconds}
    scores      file that SCORE records are appended to
    sampled     buckets whose scores are kept for the auditor
    kept        rows that a standby keeps, 0: the process is none; scored: file that says how far the instance has scored
    namespace   path of the network namespace to enter; cgroup: folders whose `cgroup.procs` it joins
    """

    instance: int
    process: str
    bricks: tuple[str, ...]
    socket: str
    run_dir: str
    nf: str = "kitsune"
    layout: str | None = None
    model: str | None = None
    models: Mapping[str, str] = field(default_factory=dict)
    precision: str = "float64"
    interface: str | None = None
    stamps: str = "kernel"
    switch: bool = False
    buckets: int = 64
    batch: int = 256
    rings_in: Mapping[str, Any] = field(default_factory=dict)
    rings_out: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    capture: Mapping[str, int] = field(default_factory=dict)
    exact: bool = True
    granularity: str | None = None
    replicas: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    slow_us: Mapping[str, float] = field(default_factory=dict)
    deadlines: Mapping[str, float] = field(default_factory=dict)
    scores: str | None = None
    threshold: float | None = None
    sampled: tuple[int, ...] = ()
    kept: int = 0
    scored: str | None = None
    log: str | None = None
    namespace: str | None = None
    cgroup: tuple[str, ...] = ()

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Spec:
        """From a plain map. ConfigError names the process and the key that is unknown, missing or impossible."""
        if not isinstance(data, Mapping):
            raise ConfigError(f"the spec of a brick process must be a map, not {data!r}")
        where = f"spec of process {data.get('process', '?')}"
        check_keys(cls, data, where)
        plain = {key: value for key, value in data.items() if value is not None}
        plain["bricks"], plain["sampled"] = tuple(plain["bricks"]), tuple(plain.get("sampled", ()))
        cgroup = plain.get("cgroup", ())
        plain["cgroup"] = (cgroup,) if isinstance(cgroup, str) else tuple(cgroup)
        if isinstance(plain.get("rings_in"), (list, tuple)):
            plain["rings_in"] = {plain["bricks"][0]: list(plain["rings_in"])} if plain["bricks"] and plain["rings_in"] else {}
        spec = cls(**plain)
        spec._check(where)
        return spec

    def _check(self, where: str) -> None:
        for key, fits, wanted in (
            ("bricks", bool(self.bricks), "at least one brick"),
            ("batch", _whole(self.batch) and self.batch > 0, "a whole number above 0"),
            ("kept", _whole(self.kept) and self.kept >= 0, "a whole number of rows"),
            ("buckets", _whole(self.buckets) and self.buckets > 0 and not self.buckets & (self.buckets - 1), "a power of two"),
            ("slow_us", are_amounts(self.slow_us), "kinds of bricks with microseconds from 0 to 1000000"),
            ("deadlines", are_amounts(self.deadlines), "kinds of bricks with milliseconds from 0 to 1000000"),
            ("rings_in", set(self.rings_in) <= set(self.bricks), "rings of bricks of this process"),
            ("rings_out", set(self.rings_out) <= set(self.bricks), "rings of bricks of this process"),
        ):
            if not fits:
                raise ConfigError(f"{where}: {key}: wanted {wanted}, found {getattr(self, key)!r}")

    @property
    def key(self) -> SplitKey:
        """By what packets find their owners, derived as the controller does: from the NF's declaration. LegoError if there is none."""
        return _key(self.nf, self.layout, self.exact, self.granularity)

    @property
    def log_path(self) -> Path:
        """Where standard error goes."""
        return Path(self.log) if self.log else Path(self.run_dir) / f"{self.process}.log"


@lru_cache(maxsize=64)  # it takes milliseconds; a forked process inherits what the fork server derived
def _key(nf: str, layout: str | None, exact: bool, granularity: str | None) -> SplitKey:
    function = load(nf)
    return split_key(function.extractor(layout or function.layouts[0]), exact, GROUPS.get(granularity or ""))


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
