"""What an instance is asked to be: the parameter of `start_instance`, checked at the door."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from lego_sdn.core.facts.arrangement import PLACEMENTS
from lego_sdn.core.facts.config import BATCH_MOST, BUCKETS_MOST, STREAMS_MOST, CaptureSettings, KeyProblem
from lego_sdn.core.facts.errors import ConfigError
from lego_sdn.core.facts.headers import GROUPS
from lego_sdn.core.facts.keys import are_amounts, check_keys
from lego_sdn.core.facts.messages import NAME_CHARACTERS, PATH_CHARACTERS, text
from lego_sdn.core.facts.section import number, whole
from lego_sdn.core.facts.text import shown


@dataclass(frozen=True)
class InstanceSpec:
    """One instance: number, graph and model, CPU quota in cores for each process, placement, and what its processes are told.

    failover  it says in shared memory how far it has scored; standby: it keeps the features of packets that others score
    """

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
    failover: bool = False
    standby: bool = False

    @classmethod
    def parse(cls, data: Any) -> InstanceSpec:
        """ConfigError names the key that is unknown, missing or impossible."""
        if not isinstance(data, dict):
            raise ConfigError(f"start_instance: wanted a map, found {shown(data)}")
        check_keys(cls, data, "start_instance")
        return cls(**data)

    def __post_init__(self) -> None:
        _check("instance", "a whole number from 1 to 999", self.instance, whole(1, 999)(self.instance))
        _check("model", "the path of a model file", self.model, text(PATH_CHARACTERS)(self.model))
        _check("nf", "the name of an NF", self.nf, text(NAME_CHARACTERS)(self.nf))
        _check("layout", "the name of a layout", self.layout, text(NAME_CHARACTERS)(self.layout))
        _check("exact", "true or false", self.exact, isinstance(self.exact, bool))
        groups = f"one of {', '.join(GROUPS)}, or null"
        for name in ("failover", "standby"):
            _check(name, "true or false", getattr(self, name), isinstance(getattr(self, name), bool))
        _check("standby", "false, unless placement is chained", self.standby, not self.standby or self.placement == "chained")
        _check("granularity", groups, self.granularity, self.granularity is None or self.granularity in tuple(GROUPS))
        _check("placement", f"one of {', '.join(PLACEMENTS)}", self.placement, self.placement in PLACEMENTS)
        _check("stamps", "kernel or trailer", self.stamps, self.stamps in ("kernel", "trailer"))
        _check("cpu_quota", "cores above 0, or null", self.cpu_quota, _are_cores(self.cpu_quota))
        power = whole(1, BUCKETS_MOST)(self.buckets) and self.buckets & (self.buckets - 1) == 0
        _check("buckets", f"a power of two from 1 to {BUCKETS_MOST}", self.buckets, power)
        _check("batch", f"a whole number above 0, up to {BATCH_MOST}", self.batch, whole(1, BATCH_MOST)(self.batch))
        _check("slow_us", "kinds of bricks with microseconds from 0 to 1000000", self.slow_us, are_amounts(self.slow_us))
        _check("threshold", "a number, or null", self.threshold, self.threshold is None or _is_number(self.threshold))
        _check("scores", "a folder, or null", self.scores, self.scores is None or text(PATH_CHARACTERS)(self.scores))
        sampled = self.sampled
        fits = isinstance(sampled, list) and len(sampled) <= self.buckets and all(whole(0, self.buckets - 1)(one) for one in sampled)
        _check("sampled", "a list of buckets", sampled, fits)
        self._check_bounds()

    def _check_bounds(self) -> None:
        """What the bricks may take of this host, as a configuration file bounds it."""
        for name, known in (("limits", ("streams",)), ("capture", ("blocks", "block_bytes", "timeout_ms"))):
            given = getattr(self, name)
            _check(name, f"a map, with no other keys than {', '.join(known)}", given, isinstance(given, dict) and set(given) <= set(known))
        streams = self.limits.get("streams", STREAMS_MOST)
        _check("limits.streams", f"a whole number from 1 to {STREAMS_MOST}", streams, whole(1, STREAMS_MOST)(streams))
        try:
            CaptureSettings(stamps=self.stamps, **self.capture)
        except KeyProblem as problem:
            raise ConfigError(f"start_instance: capture.{problem}") from None

    def require_kinds(self, kinds: Iterable[str]) -> None:
        """ConfigError if a brick is to be slow that the graph does not have."""
        for kind in self.slow_us:
            _check("slow_us", f"kinds of bricks of {self.nf} ({', '.join(kinds)})", kind, kind in kinds)


def require_cores(cores: object) -> Any:
    """The number of cores, or None. ConfigError if it is no quota."""
    if not _are_cores(cores):
        raise ConfigError(f"cpu_quota: wanted cores, from 0.01 to 1024, or null, found {shown(cores)}")
    return cores


def require_deadlines(ms: object, kinds: Iterable[str]) -> Any:
    """The deadlines. ConfigError if they are not milliseconds by kind of brick."""
    if not are_amounts(ms) or not set(ms) <= set(kinds):  # type: ignore[call-overload]
        raise ConfigError(f"deadlines: wanted milliseconds for kinds of bricks ({', '.join(kinds)}), found {shown(ms)}")
    return ms


def _are_cores(value: object) -> bool:
    return value is None or (number(value) and 0.01 <= value <= 1024)  # type: ignore[operator]


def _is_number(value: object) -> bool:
    """A number that may be infinite: a threshold that nothing is above."""
    return number(value) or value == math.inf


def _check(key: str, wanted: str, found: object, fits: bool) -> None:
    if not fits:
        raise ConfigError(f"start_instance: {key}: wanted {wanted}, found {shown(found)}")
