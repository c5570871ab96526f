"""Pulls scores of sampled buckets from the instances and from the reference instance, and raises an alarm where two of a packet differ."""

from __future__ import annotations

import logging
import queue
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ryu.base import app_manager
from ryu.lib import hub

from lego_sdn.adapters.rpc.calls import Client
from lego_sdn.core.facts.change_notes import AuditAlarm
from lego_sdn.core.facts.errors import RpcError
from lego_sdn.core.facts.notes import Notice
from lego_sdn.core.observe.score_audit import Losses, Score, parse
from ryu_apps.context.facts import ObservedProcess
from ryu_apps.context.greenthreads import every, spawn
from ryu_apps.context.requests import PullLastScores, RestartAudit
from ryu_apps.context.shared import Shared

LOG = logging.getLogger("lego.auditor")
ANSWER_S = 2.0
TELL_S = 10.0  # between two alarms: what differs meanwhile is told together
ANEW_S = 60.0  # between two times that the twin is given the streams because packets were lost


@dataclass
class PulledScores:
    """What one instance said in a round: scores since the round before, and then its load reports."""

    scores: list[Score] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    missed: int = 0


class Auditor(app_manager.RyuApp):
    """A round every period, and one more for an instance that is about to be stopped. Without `audit.share` it does nothing."""

    _CONTEXTS = {"lego": Shared}  # noqa: RUF012 (Ryu's declaration)

    def __init__(self, *args, lego: Shared, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.shared, self.ledger = lego, lego.audit
        self.seen: dict[tuple[int, str, int], int] = {}  # process -> the number of the score that is wanted next
        self.losses = Losses()
        self.anew_at = self.told_at = float("-inf")
        self.turn = hub.Semaphore(1)
        lego.performers[PullLastScores] = self._last_round

    def start(self) -> None:
        super().start()
        if self.shared.config.audit.share > 0:
            every(self.shared.config.scaling.period_s, self._round)

    def _round(self) -> None:
        with self.turn:
            self._take_in({process.instance for process in self.shared.observed.processes.values()})
        self.ledger.expire(self.shared.clock())
        self._tell()

    def _last_round(self, request: PullLastScores) -> None:
        if self.shared.config.audit.share > 0:
            with self.turn:
                self._take_in([request.instance])

    def _take_in(self, instances: Iterable[int]) -> None:
        """All are asked at once. Losses are looked at before scores: they are of later than the scores."""
        answers: queue.Queue[tuple[int, PulledScores]] = queue.Queue()
        asked = [spawn(lambda number=number: answers.put((number, self._ask(number)))) for number in instances]
        got = sorted((answers.get() for _ in asked), key=lambda item: item[0])
        for instance, answer in got:
            self._look_for_losses(instance, answer)
        now = self.shared.clock()
        for instance, answer in got:
            self.ledger.add(instance, answer.scores, now)
            if answer.missed:
                self.ledger.unpaired["scores were forgotten before they were asked for"] += answer.missed

    def _ask(self, instance: int) -> PulledScores:
        answer = PulledScores()
        for process in [one for one in self.shared.observed.processes.values() if one.instance == instance]:
            try:
                with self.shared.connect(process.socket, ANSWER_S) as client:
                    self._pull(process, client, answer)
                    answer.reports.append(client.call("load"))
            except RpcError as error:
                LOG.debug("process %s was not audited in this round: %s", process.process, error)
        return answer

    def _pull(self, process: ObservedProcess, client: Client, answer: PulledScores) -> None:
        key, more = (process.instance, process.process, process.pid), True
        while more:
            told = client.call("scores", self.seen.get(key, 0))
            self.seen[key], more = told["next"], told["more"]
            answer.missed += told["missed"]
            answer.scores += parse(told["records"])

    def _look_for_losses(self, instance: int, answer: PulledScores) -> None:
        """What one instance lost and the other did not makes scores differ, and is counted as lost already: the audit begins anew."""
        lossy = self.losses.grew(answer.reports)
        if lossy and self.ledger.since is not None and self.ledger.excused is None:
            self.ledger.excused = "an instance had lost packets or forgotten streams"
            text = f"instance {instance} lost packets or forgot streams: differences are no alarm"
            self.shared.note(Notice("audit", text, instance=instance))
        if self.ledger.excused is not None and self.shared.clock() - self.anew_at > ANEW_S:
            self.anew_at = self.shared.clock()
            self.shared.ask(RestartAudit())

    def _tell(self) -> None:
        now = self.shared.clock()
        if self.ledger.alarm is not None and now - self.told_at > TELL_S:
            alarm, ledger = self.ledger.alarm, self.ledger
            self.shared.note(AuditAlarm(str(alarm), ledger.different, ledger.compared, instance=alarm.instance))
            self.ledger.alarm, self.told_at = None, now
