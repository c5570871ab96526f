"""Learning a model from the features of ordinary traffic: the map first, then the autoencoders (Kitsune paper, section V)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np

from bricks.kernels.kitnet.mapping import map_and_widen, span_of
from bricks.kernels.kitnet.train import PADDING, train_autoencoder
from bricks.learning.feature_map import FeatureMap, learn_map
from bricks.learning.threshold import choose_threshold
from bricks.models.kitnet import Model, hidden_units
from lego_sdn.core.facts.errors import ModelError

REFERENCE, ROBUST = "reference", "robust"
_FLOOR = {REFERENCE: 0.0, ROBUST: 0.01}  # smallest range of a feature, as a share of its largest magnitude (or of 1)
_CHUNK = 4096  # vectors between two reports of progress

MOST = 10_000_000  # packets of a training; their features are held

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Training:
    """How to train. The first fm_grace + 1 vectors teach the map, the next ad_grace the autoencoders.

    numerics  "robust": a feature's range is at least 1 % of its largest magnitude, so that one that was constant in training
              does not drown all others when it changes; "reference": ranges as in the public implementation
    """

    layout: str = "kitsune115"
    fm_grace: int = 5000
    ad_grace: int = 50_000
    max_size: int = 10
    seed: int = 1234
    rate: float = 0.1
    numerics: str = ROBUST

    def __post_init__(self) -> None:
        bounds = {"fm_grace": (1, MOST), "ad_grace": (1, MOST), "max_size": (1, MOST), "seed": (0, 2**32 - 1)}
        for name, (least, most) in bounds.items():
            found, option = getattr(self, name), f"--{name.replace('_', '-')}"
            if found < least:
                raise ModelError(f"{option} is {found}; it must be at least {least}")
            if found > most:
                raise ModelError(f"{option} is {found}; it must be at most {most}")
        if self.numerics not in _FLOOR:
            raise ModelError(f"numerics {self.numerics!r} are unknown; there are {', '.join(_FLOOR)}")

    @property
    def vectors(self) -> int:
        """Vectors that are learned from; the first one after them is the first to be scored."""
        return self.fm_grace + 1 + self.ad_grace

    @property
    def floor(self) -> float:
        return _FLOOR[self.numerics]


FEWEST = 100  # packets that anything can be learned from


def fitted(training: Training, packets: int) -> Training:
    """The same training for a capture that may be shorter: a quarter of it for the map, the rest for the autoencoders."""
    if packets >= training.vectors:
        return training
    if packets < FEWEST:
        raise ModelError(f"training needs {FEWEST} packets or more, the capture has {packets}; give a longer capture")
    fm_grace = min(training.fm_grace, packets // 4)
    return replace(training, fm_grace=fm_grace, ad_grace=min(training.ad_grace, packets - fm_grace - 1))


def train_model(features: np.ndarray, training: Training, progress: Progress = lambda vectors: None) -> Model:
    """Learn from features [vectors or more, width], in stamp order. `progress` hears of each vector trained on."""
    if len(features) < training.vectors:
        raise ModelError(
            f"training needs {training.vectors} packets (--fm-grace {training.fm_grace} + 1 + --ad-grace {training.ad_grace}), "
            f"the capture has {len(features)}; lower the two, or give a longer capture"
        )
    features = np.ascontiguousarray(features, dtype=np.float64)
    learned = learn_map(features[: training.fm_grace + 1], training.max_size)
    trainee = Trainee(learned, training)
    for first in range(training.fm_grace + 1, training.vectors, _CHUNK):
        chunk = features[first : min(first + _CHUNK, training.vectors)]
        trainee.learn(chunk)
        progress(len(chunk))
    return choose_threshold(trainee.model(), features[training.fm_grace + 1 : training.vectors])


def _fresh(visible: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An untrained autoencoder: weights and hidden bias filled up with zeros to a multiple of PADDING hidden units."""
    units = int(hidden_units(visible))
    padded = -(-units // PADDING) * PADDING
    weights = np.zeros((visible, padded))
    weights[:, :units] = np.random.RandomState(seed).uniform(-1 / visible, 1 / visible, (visible, units))
    return weights, np.zeros(padded), np.zeros(visible)


class Trainee:
    """A KitNET under training: each chunk of vectors goes through the ensemble, one autoencoder after the other, then the output."""

    def __init__(self, learned: FeatureMap, training: Training) -> None:
        self.learned, self.training = learned, training
        self.nets = [_fresh(int(size), training.seed) for size in (*learned.sizes, len(learned.sizes))]
        self.bounds = _no_bounds(len(learned.order))
        self.error_bounds = _no_bounds(len(learned.sizes))

    def learn(self, features: np.ndarray) -> None:
        clusters = len(self.learned.sizes)
        mapped, errors = np.empty_like(features), np.empty((clusters, len(features)))
        map_and_widen(features, self.learned.order, self.training.floor, self.bounds, mapped)
        column = 0
        for net, size, error in zip(self.nets, self.learned.sizes, errors, strict=False):
            train_autoencoder(np.ascontiguousarray(mapped[:, column : column + size]), net, self.training.rate, error)
            column += size
        inputs = np.empty((len(features), clusters))
        map_and_widen(np.ascontiguousarray(errors.T), np.arange(clusters), self.training.floor, self.error_bounds, inputs)
        train_autoencoder(inputs, self.nets[-1], self.training.rate, np.empty(len(features)))

    def model(self) -> Model:
        training, units = self.training, [int(hidden_units(len(net[0]))) for net in self.nets]
        low, span = _frozen(self.bounds, training.floor)
        error_low, error_span = _frozen(self.error_bounds, training.floor)
        return Model(
            layout=training.layout,
            order=self.learned.order,
            sizes=self.learned.sizes,
            low=low,
            span=span,
            weights=np.concatenate([net[0][:, :n].ravel() for net, n in zip(self.nets, units, strict=True)]),
            hidden_bias=np.concatenate([net[1][:n] for net, n in zip(self.nets, units, strict=True)]),
            visible_bias=np.concatenate([net[2] for net in self.nets]),
            error_low=error_low,
            error_span=error_span,
            threshold=np.inf,
            about=asdict(training),
        )


def _no_bounds(width: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full(width, np.inf), np.full(width, -np.inf)


def _frozen(bounds: tuple[np.ndarray, np.ndarray], floor: float) -> tuple[np.ndarray, np.ndarray]:
    low, high = bounds
    return low, np.array([span_of(a, b, floor) for a, b in zip(low, high, strict=True)])
