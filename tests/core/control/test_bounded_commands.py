"""What others say is bounded before it is told, kept or shown."""

from __future__ import annotations

import pytest

from lego_sdn.adapters.files.store import MEMORY, Entry, Store
from lego_sdn.core.control.commands import refusal
from lego_sdn.core.control.events import AgentUp, Command, Note, SwitchUp
from lego_sdn.core.control.state import fresh
from lego_sdn.core.control.step import step
from lego_sdn.core.facts.config import Config

HUGE = [2**31, 2**63, 2**70, -(2**70), 10**4000, 10**6000, -1, 0, 10**9]
TEXTS = ["\ud800", "a\nb", "\x1b[31mred", "x" * 10**6, "\u202ereversed", "\0", "\r\n", "a\u2028b", "\udfff" * 500, "\x7f", "🙂"]
NUMBERED = [Command("merge", n) for n in HUGE] + [Command("move", n, (1,)) for n in HUGE] + [Command("move", 1, (n,)) for n in HUGE[:-2]]
NUMBERED += [Command("move", assignment=((n, 1), (1, n))) for n in HUGE] + [Command("move", 1, tuple(range(100, 60_000)))]
NUMBERED += [Command("replicate", n, brick="packet-batching") for n in HUGE]
WRITTEN = [Command(name, None, brick=text) for name in ("replicate", "merge") for text in TEXTS]


def running():
    state = fresh(Config.parse({"model": "m"}))
    for event in (SwitchUp(1), AgentUp((), 2.0)):
        state, _ = step(state, event, 0.0)
    return state


@pytest.mark.parametrize("command", [*NUMBERED, *WRITTEN], ids=map(str, range(len(NUMBERED) + len(WRITTEN))))  # not all have a repr
@pytest.mark.parametrize("free", [True, False])
def test_whatever_is_asked_can_be_answered_kept_and_shown(command, free):
    state = running() if free else fresh(Config())
    reason = refusal(state, command, 1.0)
    assert reason is not None
    assert len(reason) < 1200
    assert reason.isprintable()
    _, actions = step(state, command, 1.0)
    notes = [action for action in actions if isinstance(action, Note)]
    assert [note.kind for note in notes] == ["refused"]
    store = Store(MEMORY)
    for note in notes:
        assert note.text.isprintable()
        store.note(Entry(1.0, note.kind, note.text, note.instance))
    assert len(store.events()) == len(notes)
    store.close()


@pytest.mark.parametrize("text", TEXTS, ids=map(str, range(len(TEXTS))))
@pytest.mark.parametrize("instance", [None, 1, *HUGE], ids=map(str, range(2 + len(HUGE))))
def test_any_note_can_be_kept(text, instance):
    note = Note("failed", f"somebody said {text}", instance)
    store = Store(MEMORY)
    store.note(Entry(1.0, note.kind, note.text, note.instance))
    assert store.events()[0].text == note.text
    assert note.text.isprintable()
    assert len(note.text) <= 20_000
    store.close()


def test_ordinary_words_are_left_alone():
    text = 'instance 1 failed: "x" – 3 µs, é, a\\b'
    assert Note("failed", text, 1).text == text
