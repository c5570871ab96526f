"""The app that `ryu-manager lego_sdn.app` loads: events in, the core decides, the small apps act.

This module holds one RyuApp and nothing else of its kind: Ryu loads the first that it finds.
"""

from __future__ import annotations

import logging

from ryu.base import app_manager

from lego_sdn.core.control.commands import refusal
from lego_sdn.core.control.events import Command, Steer, Tick
from lego_sdn.core.control.step import step
from lego_sdn.core.facts.change_notes import Inexact, ScalingPaused
from lego_sdn.core.facts.notes import Note
from ryu_apps.context.exactness import changed_features, warning
from ryu_apps.context.greenthreads import every, spawn
from ryu_apps.context.shared import Item, Shared
from ryu_apps.openflow import messages

LOG = logging.getLogger("lego")
KEEP_S = 1.0  # between two looks at whether decisions are kept

# Ryu's way of saying which apps it must load along with this one.
_REQUIRED_APP = [
    "ryu.controller.ofp_handler",
    "ryu_apps.apps.steering",
    "ryu_apps.apps.instances",
    "ryu_apps.apps.monitor",
    "ryu_apps.apps.auditor",
    "ryu_apps.apps.rest",
]


class Lego(app_manager.RyuApp):
    """One queue of events, one greenthread that steps: the only place where the state changes."""

    OFP_VERSIONS = [messages.VERSION]  # noqa: RUF012 (Ryu's declaration)
    _CONTEXTS = {"lego": Shared}  # noqa: RUF012

    def __init__(self, *args, lego: Shared, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.shared = lego

    def start(self) -> None:
        super().start()
        for sentence in self.shared.missing():
            LOG.info("missing: %s", sentence)
        if said := warning(self.shared.config):
            self.shared.note(Inexact("approximate", said, len(changed_features(self.shared.config))))
        if self.shared.state.paused:
            self.shared.note(ScalingPaused(True, earlier=True))
        spawn(self._step_for_ever)
        every(KEEP_S, self.shared.keep_store)
        every(min(self.shared.config.scaling.period_s, 0.5), lambda: self.shared.put(Tick()))

    def _step_for_ever(self) -> None:
        while True:
            item = self.shared.inbox.get()
            if item.still is None or item.still():
                self._step(item)

    def _step(self, item: Item) -> None:
        now = self.shared.clock()
        if item.answer is not None and isinstance(item.event, Command):
            item.answer.put(self._refusal(item.event, now))
        was_paused = self.shared.state.paused
        self.shared.state, actions = step(self.shared.state, item.event, now)
        if self.shared.state.paused != was_paused:
            self.shared.remember_pause()
        for action in actions:
            if isinstance(action, Note):
                self.shared.note(action)
                continue
            if isinstance(action, Steer):
                self.shared.remember(action)
            self.shared.perform(action)

    def _refusal(self, command: Command, now: float) -> str | None:
        return None if command.name in ("pause", "resume") else refusal(self.shared.state, command, now)
