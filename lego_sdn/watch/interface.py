"""Watching an interface, in this process."""

from __future__ import annotations

import select
import time

import numpy as np

from bricks.capture.packet_ring import PacketRing
from bricks.explanation.shares import EXPLAINED
from bricks.feature_quantization import FeatureQuantization, warm_up
from bricks.kernels.transport.worker_pick import BATCH
from bricks.learning.live import LiveTraining
from bricks.models.model_file import Model
from bricks.nfs.kitsune.learn import blank_models
from bricks.offline.scoring import OfflineChain
from bricks.records.brick import Batch
from bricks.records.packets import PACKET
from lego_sdn.watch.session import Session

_WAIT_MS = 200
_BLOCKS, _BLOCK_BYTES = 2048, 1 << 15  # of 1 ms each at least: the feature map may be learned meanwhile
_CAPTURE = {"received": "kernel_packets", "kernel_drops": "kernel_drops", "set_back": "errors"}


def watch_interface(interface: str, session: Session) -> None:
    """Until it is told to end. HostError if the interface cannot be opened, or goes away."""
    layout = session.watch.model.layout if session.watch.model is not None else session.watch.training.layout
    _load(layout, session)
    with PacketRing(interface, _BLOCKS, _BLOCK_BYTES) as ring:
        live = _Live(ring, session, layout)
        poll = select.poll()
        poll.register(ring, select.POLLIN)
        try:
            while not session.told.ending:
                if not live.step():
                    poll.poll(_WAIT_MS)
        finally:
            live.count()


def _load(layout: str, session: Session) -> None:
    """Load the compiled code before there are packets to lose."""
    warm_up(layout)
    model = next(iter(blank_models(layout).values()))
    chain, nobody = OfflineChain(session.watch.scoring(model)), np.zeros(1, PACKET)
    features = chain.features(nobody)
    chain.score(features)
    chain.explain_alerts(features, np.full(1, np.inf), np.zeros(1, np.int64), np.zeros(1, EXPLAINED))
    if session.watch.model is None:
        from bricks.learning.training import Training, train_model

        train_model(np.random.default_rng(0).random((200, len(features[0]))), Training(layout, 50, 149))


class _Live:
    """The bricks behind a ring: the statistics go on from the first packet that is learned from."""

    def __init__(self, ring: PacketRing, session: Session, layout: str) -> None:
        self.ring, self.session = ring, session
        watch = session.watch
        self._rows = np.empty(BATCH, PACKET)
        self._extractor = FeatureQuantization(0, layout, watch.streams)
        self._training = LiveTraining(watch.training) if watch.model is None else None
        self._chain: OfflineChain | None = None
        self._told_drops = 0
        if watch.model is not None:
            self._detect(watch.model)
        else:
            session.learning()

    def _detect(self, model: Model) -> None:
        self._chain = OfflineChain(self.session.watch.scoring(model))
        self.session.detect(model)

    def step(self) -> bool:
        """One batch; False: there was none."""
        session, count = self.session, self.ring.read(self._rows)
        rows = self._rows[:count]
        if count:
            session.packets += count
            features = self._extractor.process(Batch(rows)).values
            assert features is not None
            self._use(rows, features)
            session.watch.progress(count)
        now_ns = time.time_ns()
        if session.sink is not None:
            session.sink.tick(min(now_ns, int(rows["time_ns"][-1])) if count else now_ns)
        self.count()
        session.tick(now_ns)
        return count > 0

    def _use(self, rows: np.ndarray, features: np.ndarray) -> None:
        """Learn from vectors as long as that is to be done; score the others."""
        if self._training is not None:
            count = self._training.add(rows, features)
            self.session.learned += count
            if not self._training.done:
                return
            self._detect(self.session.keep(self._training))
            self._training = None
            rows, features = rows[count:], features[count:]
        chain, sink = self._chain, self.session.sink
        assert chain is not None
        assert sink is not None
        if len(rows):
            scores, explained = chain.score(features), np.zeros(len(rows), EXPLAINED)
            chain.explain_alerts(features, scores, np.arange(len(rows)), explained)
            sink.take(rows, scores, explained)

    def count(self) -> None:
        """Take over what the ring counts; say so when packets were lost."""
        totals = self.ring.statistics()
        self.session.capture = {name: totals[own] for own, name in _CAPTURE.items()}
        drops = totals["kernel_drops"]
        if drops > 2 * self._told_drops:
            self._told_drops = drops
            self.session.watch.say(
                f"{drops:,} packets were lost: they came faster than one process takes them, {self.session.packets:,} were taken; "
                "`lego up` shares the traffic out to several"
            )
