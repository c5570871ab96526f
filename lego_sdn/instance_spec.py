"""What an instance is asked to be: the parameter of `start_instance`, checked at the door."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lego_sdn.core.errors import ConfigError
from lego_sdn.core.headers import GROUPS
from lego_sdn.core.keys import are_amounts, check_keys
from lego_sdn.wiring import PLACEMENTS


@dataclass(frozen=True)
class InstanceSpec:
    """One instance: number, graph and model, CPU quota in cores for each process, placement, and what its processes are told."""

    instance: int
    model: str
    nf: str = "kitsune"
    layout: str = "kitsune115"
    cpu_quota: float | None = None
    placement: str = "chained"
    stamps: str = "kernel"
    buckets: int = 64
    batch: int = 256
    limits: dict[str, int] = field(default_factory=dict)
    capture: dict[str, int] = field(default_factory=dict)
    scores: str | None = None
    threshold: float | None = None
    slow_us: dict[str, float] = field(default_factory=dict)
    exact: bool = True
    granularity: str | None = None
    sampled: list[int] = field(default_factory=list)

    @classmethod
    def parse(cls, data: Any) -> InstanceSpec:
        """ConfigError names the key that is unknown, missing or impossible."""
        if not isinstance(data, dict):
            raise ConfigError(f"start_instance: wanted a map, found {data!r}")
        check_keys(cls, data, "start_instance")
        return cls(**data)

    def __post_init__(self) -> None:
        _check("instance", "a whole number from 1 to 999", self.instance, _whole(self.instance) and 1 <= self.instance <= 999)
        _check("model", "the path of a model file that exists; learn one with 'lego train'", self.model, _is_file(self.model))
        _check("exact", "true or false", self.exact, isinstance(self.exact, bool))
        groups = f"one of {', '.join(GROUPS)}, or null"
        _check("granularity", groups, self.granularity, self.granularity is None or self.granularity in tuple(GROUPS))
        _check("placement", f"one of {', '.join(PLACEMENTS)}", self.placement, self.placement in PLACEMENTS)
        _check("stamps", "kernel or trailer", self.stamps, self.stamps in ("kernel", "trailer"))
        _check("cpu_quota", "cores above 0, or null", self.cpu_quota, _are_cores(self.cpu_quota))
        power = _whole(self.buckets) and self.buckets > 0 and self.buckets & (self.buckets - 1) == 0
        _check("buckets", "a power of two", self.buckets, power)
        _check("batch", "a whole number above 0", self.batch, _whole(self.batch) and self.batch > 0)
        _check("slow_us", "kinds of bricks with microseconds from 0 to 1000000", self.slow_us, are_amounts(self.slow_us))
        scores = self.scores
        _check("scores", "a folder, or null", scores, scores is None or (isinstance(scores, str) and "\0" not in scores))
        sampled = self.sampled
        fits = isinstance(sampled, list) and all(_whole(bucket) and 0 <= bucket < self.buckets for bucket in sampled)
        _check("sampled", "a list of buckets", sampled, fits)
        for name in ("limits", "capture"):
            _check(name, "a map", getattr(self, name), isinstance(getattr(self, name), dict))

    def require_kinds(self, kinds: Iterable[str]) -> None:
        """ConfigError if a brick is to be slow that the graph does not have."""
        for kind in self.slow_us:
            _check("slow_us", f"kinds of bricks of {self.nf} ({', '.join(kinds)})", kind, kind in kinds)


def require_cores(cores: object) -> Any:
    """The number of cores, or None. ConfigError if it is no quota."""
    if not _are_cores(cores):
        raise ConfigError(f"cpu_quota: wanted cores, from 0.01 to 1024, or null, found {cores!r}")
    return cores


def require_deadlines(ms: object, kinds: Iterable[str]) -> Any:
    """The deadlines. ConfigError if they are not milliseconds by kind of brick."""
    if not are_amounts(ms) or not set(ms) <= set(kinds):  # type: ignore[call-overload]
        raise ConfigError(f"deadlines: wanted milliseconds for kinds of bricks ({', '.join(kinds)}), found {ms!r}")
    return ms


def _are_cores(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and 0.01 <= value <= 1024)


def _check(key: str, wanted: str, found: object, fits: bool) -> None:
    if not fits:
        raise ConfigError(f"start_instance: {key}: wanted {wanted}, found {found!r}")


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_file(value: object) -> bool:
    return isinstance(value, str) and Path(value).is_file()
