"""What others say is bounded before it is told, kept or shown."""

from __future__ import annotations

import itertools
import json

import pytest

from lego_sdn.adapters.files.store import MEMORY, Entry, Store
from lego_sdn.core.control.commands import refusal
from lego_sdn.core.control.events import AgentUp, Command, SwitchUp
from lego_sdn.core.control.state import fresh
from lego_sdn.core.control.step import step
from lego_sdn.core.facts.change_notes import InstanceLeaving, Refused
from lego_sdn.core.facts.config import Config
from lego_sdn.core.facts.instance_notes import BricksDied, EarlyDeath, InstanceDied
from lego_sdn.core.facts.notes import Note, Notice

HUGE = [2**31, 2**63, 2**70, -(2**70), 10**4000, 10**6000, -1, 0, 10**9]
TEXTS = ["\ud800", "a\nb", "\x1b[31mred", "x" * 10**6, "\u202ereversed", "\0", "\r\n", "a\u2028b", "\udfff" * 500, "\x7f", "🙂"]
NUMBERED = [Command("merge", n) for n in HUGE] + [Command("move", n, (1,)) for n in HUGE] + [Command("move", 1, (n,)) for n in HUGE[:-2]]
NUMBERED += [Command("move", assignment=((n, 1), (1, n))) for n in HUGE] + [Command("move", 1, tuple(range(100, 60_000)))]
NUMBERED += [Command("replicate", n, brick="packet-batching") for n in HUGE]
WRITTEN = [Command(name, None, brick=text) for name in ("replicate", "merge") for text in TEXTS]


def notice(text, instance):
    return Notice("failed", f"somebody said {text}", instance=instance)


def died(text, instance):
    return InstanceDied(text, 1.0, EarlyDeath(1.0, 1, 0.5), instance=instance)


def bricks(text, instance):
    return BricksDied((text, text), (text,), instance=instance)


def changed(text, instance):
    return InstanceLeaving(instance or 0, (instance or 0, 2), text, instance=instance)


def texts_in(value):
    """Every text in a plain value."""
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in parts for text in texts_in(part)]


def running():
    state = fresh(Config.parse({"model": "m"}))
    for event in (SwitchUp(1), AgentUp((), 2.0)):
        state, _ = step(state, event, 0.0)
    return state


def kept(note):
    """What a store of its own gives back of a note."""
    store = Store(MEMORY)
    store.note(Entry(1.0, note.kind, note.text, note.instance, note.type, note.fields()))
    (entry,) = store.events()
    store.close()
    return entry


@pytest.mark.parametrize("free", [True, False])
def test_whatever_is_asked_can_be_answered_kept_and_shown(free):
    for number, command in enumerate([*NUMBERED, *WRITTEN]):  # not all have a repr
        state = running() if free else fresh(Config())
        reason = refusal(state, command, 1.0)
        assert reason is not None, number
        assert len(reason) < 1200, number
        assert reason.isprintable(), number
        _, actions = step(state, command, 1.0)
        (note,) = (action for action in actions if isinstance(action, Note))
        assert note == Refused(command.name, reason, instance=command.instance), number
        assert note.text.isprintable(), number
        assert kept(note).text == note.text, number


@pytest.mark.slow
@pytest.mark.parametrize("note_of", [notice, died, bricks, changed], ids=["notice", "died", "bricks", "changed"])
def test_any_note_can_be_kept(note_of):
    instances = [None, 1, *HUGE]
    for which in itertools.product(range(len(TEXTS)), range(len(instances))):
        note = note_of(TEXTS[which[0]], instances[which[1]])
        entry = kept(note)
        assert (entry.text, entry.type) == (note.text, note.type), which
        assert entry.fields == json.loads(json.dumps(note.fields())), f"{which}: fields come back as they were"
        assert all(part.isprintable() and len(part) <= 20_000 for part in texts_in(entry.fields)), which
        assert note.text.isprintable(), which
        assert len(note.text) <= 20_000, which


def test_ordinary_words_are_left_alone():
    text = 'instance 1 failed: "x" – 3 µs, é, a\\b'
    assert Notice("failed", text, instance=1).text == text
