"""Features and explanations in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bricks.models.model_file import Model

# what a group of statistics measures, and of which traffic
_GROUPS = {
    "MI_dir": ("frame lengths", "of this MAC and IP address"),
    "H": ("frame lengths", "of this host"),
    "HH": ("frame lengths", "from this host to this peer"),
    "HH_jit": ("time between packets", "from this host to this peer"),
    "HpHp": ("frame lengths", "from this socket to this peer"),
}
_STATISTICS = {
    "mean": "mean",
    "variance": "variance",
    "std": "standard deviation",
    "magnitude": "magnitude, of both directions' means,",
    "radius": "radius, of both directions' variances,",
    "covariance": "covariance, between both directions,",
    "pcc": "correlation, between both directions,",
}
_HORIZONS = {"5": "0.2 s", "3": "0.3 s", "1": "1 s", "0.1": "10 s", "0.01": "100 s"}  # 1 / lambda


def feature_text(name: str) -> str:
    """A feature in words: its statistic, what it is about, and over which time."""
    group, _, rest = name.rpartition("_L")
    rate, _, statistic = rest.partition("_")
    thing, whose = _GROUPS.get(group, ("values", f"of {group}"))
    what = "number of packets" if statistic == "weight" else f"{_STATISTICS.get(statistic, statistic)} of {thing}"
    return f"{what} {whose} over about {_HORIZONS.get(rate, rate)}"


@dataclass(frozen=True)
class Reason:
    """One feature's part in a score. low, high: its range in training, as wide as the model takes it at least."""

    feature: str
    share: float
    value: float
    expected: float
    low: float
    high: float
    calmer: bool

    @property
    def direction(self) -> str:
        return "above" if self.value > self.expected else "below"

    @property
    def text(self) -> str:
        outside = "" if self.low <= self.value <= self.high else "; outside its training range"
        calm = "; its group of features is more regular than usual" if self.calmer else ""
        return (
            f"{self.share:.0%} {feature_text(self.feature)}: {self.value:.6g}, {self.direction} the usual {self.expected:.6g} "
            f"(in training {self.low:.6g} to {self.high:.6g}{outside}{calm})"
        )


def reasons(record: np.void, model: Model, names: tuple[str, ...]) -> list[Reason]:
    """The features of one EXPLAINED record, the largest share first."""
    column = np.empty(model.width, np.int64)
    column[model.order] = np.arange(model.width)
    found = []
    for at, feature in enumerate(record["features"].tolist()):
        if feature >= 0:
            low = float(model.low[column[feature]])
            high = low + float(model.span[column[feature]])
            parts = (float(record[name][at]) for name in ("shares", "values", "expected"))
            found.append(Reason(names[feature], *parts, low, high, bool(record["calmer"][at])))
    return found
