"""Pulls load and alerts from every brick process, a round at a time, and tells the core."""

from __future__ import annotations

import logging
import queue
from typing import Any

from ryu.base import app_manager

from lego_sdn.adapters.rpc.calls import Client
from lego_sdn.core.control.events import Loads, Silent
from lego_sdn.core.control.hosts import LOCAL
from lego_sdn.core.facts.errors import LegoError
from lego_sdn.core.facts.graph import node_of
from lego_sdn.core.facts.reports import Report
from ryu_apps.context.facts import ObservedProcess
from ryu_apps.context.greenthreads import every, spawn
from ryu_apps.context.shared import Shared

LOG = logging.getLogger("lego.monitor")
ANSWER_S = 2.0


class Monitor(app_manager.RyuApp):
    """A greenthread per process and round; a process that does not answer in time is in a later round, and holds nobody up."""

    _CONTEXTS = {"lego": Shared}  # noqa: RUF012 (Ryu's declaration)

    def __init__(self, *args, lego: Shared, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.shared = lego
        self.period = lego.config.scaling.period_s
        self.clients: dict[tuple[int, str, int], Client] = {}
        self.asked: set[tuple[int, str, int]] = set()  # a call is under way
        self.owed: set[tuple[int, str, int]] = set()  # of these, who has not given its report yet
        self.seen_alerts: dict[tuple[int, str, int], int] = {}
        self.answers: queue.Queue[Report | None] = queue.Queue()

    def start(self) -> None:
        super().start()
        every(self.period, self.ask_all)

    def ask_all(self) -> None:
        """One round: every process is asked, and what comes in time is told the core."""
        processes = {_key(process): process for process in self.shared.observed.processes.values()}
        self._forget(set(self.clients) - set(processes) - self.asked)
        alerts = self.shared.observed.alerts
        alerts.end(set(alerts.raised) - set(processes) - self.asked)
        for key, process in processes.items():
            if key not in self.asked:  # else the last round's question is still open
                self.asked.add(key)
                self.owed.add(key)
                spawn(self.pull, process)
        seen = self.shared.observed
        waiting = len(self.owed) + self.answers.qsize()  # with what came after the end of the round before
        told = seen.agent.get("free_bytes") if seen.agent is not None else None
        free = {} if told is None else {LOCAL: told}
        self.shared.put(Loads(self.collect(waiting), dict(seen.bucket_rates), dict(seen.port_losses), free))

    def collect(self, waiting: int) -> tuple[Report, ...]:
        """What comes in this round, also to questions of rounds before."""
        deadline = self.shared.clock() + 0.8 * self.period
        reports = []
        for _ in range(waiting):
            try:
                report = self.answers.get(timeout=max(0.001, deadline - self.shared.clock()))
            except queue.Empty:
                break
            if report is not None:
                reports.append(report)
        return tuple(sorted(reports, key=lambda report: (report.instance, report.process)))

    def pull(self, process: ObservedProcess) -> None:
        """Ask one process for its report, and for alerts if it raises any."""
        key = _key(process)
        client = self.clients.setdefault(key, self.shared.connect(process.socket, ANSWER_S))
        try:
            data = client.call("load")
            report = Report.parse(data)
        except LegoError as error:
            self._answered(key, None)
            if self.shared.observed.processes.get(key[:2]) is process:  # else it was stopped meanwhile
                self._silent(process, str(error))
        else:
            self._answered(key, report)
            self._learn(process, data, report)
            if self._raises_alerts(process):
                self._pull_alerts(process, client)
        finally:
            self.asked.discard(key)

    def _answered(self, key: tuple[int, str, int], report: Report | None) -> None:
        """One answer to one question, whatever else is asked afterwards."""
        self.owed.discard(key)
        self.answers.put(report)

    def _learn(self, process: ObservedProcess, data: dict[str, Any], report: Report) -> None:
        """Keep the report for REST, with the rates since the one before."""
        before, now = process.report, self.shared.clock()
        seconds = report.time - before["time"] if before else 0.0
        if before and seconds > 0:
            earlier = {brick["id"]: brick["packets_in"] for brick in before["bricks"]}
            process.rates = {brick.id: (brick.packets_in - earlier.get(brick.id, 0)) / seconds for brick in report.bricks}
            process.cpu = (report.cpu_s - before["cpu_s"]) / seconds
        process.report, process.at, process.silent_since, process.error = data, now, None, None
        process.given_up = False

    def _raises_alerts(self, process: ObservedProcess) -> bool:
        """The last brick of the graph does; as long as the graph is not known, it may be any."""
        member = self.shared.state.members.get(process.instance)
        ends = member.arrangement.graph.ends if member else ()
        return not ends or any(node_of(brick) in ends for brick in process.bricks)

    def _pull_alerts(self, process: ObservedProcess, client: Client) -> None:
        """Alerts that cannot be had now are asked for in the next round: the process has answered, so it is not silent."""
        key = _key(process)
        try:
            answer = client.call("alerts", self.seen_alerts.get(key, 0))
        except LegoError as error:
            LOG.warning("alerts of process %s of instance %d: %s", process.process, process.instance, error)
            process.error = str(error)
            return
        self.seen_alerts[key] = answer["next"]
        self.shared.observed.alerts.add(process.instance, answer["alerts"])
        self.shared.observed.alerts.count(key, answer["next"], answer["by_source"])

    def _silent(self, process: ObservedProcess, error: str) -> None:
        """The agent is asked at once whether the process lives; one that lives but stays silent is given up."""
        if process.silent_since is None:
            LOG.warning("process %s of instance %d: %s", process.process, process.instance, error)
            self.shared.wake_agent.set()
        patience_s = self.shared.config.instance.silent_s
        if process.stays_silent(error, self.shared.clock(), patience_s):
            text = f"process {process.process} of instance {process.instance} has not answered for {patience_s:g} s: {error}"
            self.shared.put(Silent(process.instance, process.process, text))

    def _forget(self, gone: set[tuple[int, str, int]]) -> None:
        for key in gone:
            self.clients.pop(key).close()
            self.seen_alerts.pop(key, None)


def _key(process: ObservedProcess) -> tuple[int, str, int]:
    return process.instance, process.process, process.pid
