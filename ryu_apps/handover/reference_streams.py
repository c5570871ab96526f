"""Copies every stream to the auditor's reference instance: when it is new, and when an instance lost streams of another one."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace

from lego_sdn.core.control.events import Steer, Steered
from lego_sdn.core.facts.assignment import REFERENCE
from lego_sdn.core.facts.change_notes import AuditBegun
from lego_sdn.core.facts.notes import Notice
from lego_sdn.core.observe.score_audit import sampled_buckets
from lego_sdn.core.traffic.handover import Moved, StateCopy
from ryu_apps.context.shared import Shared

TOKEN_BITS = 50


class Twinning:
    """`after` every change of the rules. `copy` takes the steps of a `StateCopy` move."""

    def __init__(self, shared: Shared, copy: Callable[[StateCopy, Steer], tuple[tuple[Moved, ...], str | None]]) -> None:
        self.shared, self._copy = shared, copy
        self._given: tuple[int, int] | None = None  # port and process of the twin that has every stream

    def forget(self) -> None:
        """The twin is to be given every stream again."""
        self._given = None

    def before(self, steer: Steer, owners: Mapping[int, int]) -> None:
        """The rules are to become those of `steer`. Where the one who has a stream is gone, scores differ from now on, and that is told."""
        if set(owners.values()) - set(steer.ports):
            self.shared.audit.stop("streams were lost with an instance")
            self.forget()

    def after(self, steer: Steer, done: Steered) -> Steered:
        """The rules are those of `steer`, or (`done`) they are not."""
        twin = self._twin(steer)
        if twin is None or any(one.error is not None for one in done.moved):
            self.forget()
        if twin is None:
            self.shared.audit.stop("the twin was gone")
        if twin is None or twin == self._given or done.error is not None:
            return done
        return self._give(twin, steer, done)

    def _twin(self, steer: Steer) -> tuple[int, int] | None:
        pids = [process.pid for process in self.shared.observed.processes.values() if process.instance == REFERENCE]
        return (steer.ports[REFERENCE], min(pids)) if REFERENCE in steer.ports and pids else None

    def _give(self, twin: tuple[int, int], steer: Steer, done: Steered) -> Steered:
        config, ledger = self.shared.config, self.shared.audit
        assignment, scored = dict(steer.assignment), sampled_buckets(config.audit.share, config.buckets)
        move = StateCopy(secrets.randbits(TOKEN_BITS) | 1, assignment, assignment, frozenset(), to=REFERENCE, scored=scored)
        ledger.expect()
        copied, error = self._copy(move, steer)
        failed = error or next((one.error for one in copied if one.error is not None), None)
        if failed is not None:
            ledger.stop("the audit did not begin")
            self.shared.note(Notice("audit", f"nothing is audited: the twin could not be given the streams: {failed}", instance=REFERENCE))
            return replace(done, error=error)
        self._given = twin
        after = -1 if move.cut is None else move.cut
        ledger.begin(after)
        streams, size = sum(one.records for one in copied), sum(one.bytes for one in copied)
        self.shared.note(AuditBegun(streams, size, len(scored), after, instance=REFERENCE))
        return replace(done, held=done.held + move.held)
