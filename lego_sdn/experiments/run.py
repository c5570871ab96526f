"""The main job: LEGO on this host, traffic through its switch, and what became of every packet."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bricks.files.captures import read_packets
from bricks.files.frames import read_frames
from bricks.files.scores import SCORE, read_scores
from bricks.nfs.registry import load
from bricks.records.brick import Batch
from bricks.records.hidden import count_hidden, hidden_warnings
from bricks.records.packets import bucket_of
from bricks.runtime.assembly import joining_of
from bricks.runtime.reorder import join
from bricks.streams.results import pick_for, result_of
from lego_sdn.adapters.files.outputs import output_path
from lego_sdn.core.facts.assignment import REFERENCE
from lego_sdn.core.facts.config import Config, ForwardSettings
from lego_sdn.core.facts.errors import CaptureError, HostError, ModelError
from lego_sdn.core.facts.graph import require_runnable
from lego_sdn.core.nf.network_function import NetworkFunction
from lego_sdn.core.nf.split_key import configured_key
from lego_sdn.experiments.accounting import (
    Deaths,
    RunSummary,
    compare,
    died_with,
    dropped_in,
    note_owned,
    numbers_of,
    out_of_order_in,
    without_repeats,
)
from lego_sdn.experiments.endpoints import OfferedTraffic, ReplayProcess, Testbed
from lego_sdn.system import machine as host
from lego_sdn.system.local import key_of
from lego_sdn.system.session import Live

LOOK_S = 0.25
SENT_MOST = 100_000_000  # packets of a run: they, their scores and those of the unsplit run are held in memory
COUNT_S, STILL_S = 0.1, 3.0  # between two looks at counters; the switch brings those of its cached flows up to date twice a second
SCORED_AT_ONCE = 4096  # packets
KITSUNE = Config()


@dataclass
class RunObservation:
    """What the controller shows at one moment, and the events since the moment before."""

    status: dict[str, Any]
    bricks: dict[str, Any]
    assignment: dict[str, Any]
    alerts: dict[str, Any]
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def instances(self) -> int:
        return sum(one["phase"] == "running" for one in self.status["instances"])

    @property
    def quiet(self) -> bool:
        """Nothing is being changed."""
        return self.status["change"] is None and self.status["rules"]["in_force"] == self.status["rules"]["version"]


@dataclass(frozen=True)
class Prepared:
    """What a run needs before anything is started: the model's file, and the scores that the unsplit run gives.

    unsplit   float64 [packets]; warnings  about the captures
    packets   PACKET [packets], as they are sent
    """

    model: Path
    layout: str
    unsplit: np.ndarray
    warnings: tuple[str, ...]
    packets: np.ndarray


def learn(captures: tuple[Path, ...], to: Path, config: Config = KITSUNE) -> Any:
    """A model of the benign part, by the configured NF: the first of several captures, the first half of a single one. Written to `to`.

    CaptureError if there is too little to learn from, ModelError if the NF learns no model.
    """
    function = load(config.nf)
    if function.learn is None:
        raise ModelError(f"NF {config.nf} learns no model by itself: give one")
    packets, _ = read_packets(captures[:1])
    benign = packets if len(captures) > 1 else packets[: len(packets) // 2]
    if len(benign) < 100:
        raise CaptureError(
            f"capture {captures[0]} has {len(benign)} packets to learn from, wanted 100 or more: give a model or a longer capture"
        )
    return function.learn(benign, output_path(to, captures), config.layout)


def prepare(offered: OfferedTraffic, model_file: Path | None, folder: Path, config: Config = KITSUNE) -> Prepared:
    """Learn a model of the configured NF if none is given and it has one, and score the traffic without any split."""
    function, where = load(config.nf), model_file or folder / "learned.model"
    if not function.models:
        where.touch()  # instances are told a path; nobody reads it
    elif model_file is None:
        learn(offered.captures, where, config)
    models = {node: read(str(where), None) for node, read in function.models.items()}
    layouts = [model.layout for model in models.values() if hasattr(model, "layout")]
    config = replace(config, layout=layouts[0] if layouts else config.layout)
    frames = read_frames(offered.captures)
    packets = frames.stamped_packets()
    warnings = [*frames.warnings, *hidden_warnings(count_hidden(packets))]
    if len(packets) * offered.rounds > SENT_MOST:
        raise CaptureError(f"{len(packets):,} packets {offered.rounds:,} times over are too many; {SENT_MOST:,} in all are the most")
    packets = _rounds(packets, offered.rounds)
    return Prepared(where, config.layout, score_unsplit(function, models, packets, config), tuple(warnings), packets)


def score_unsplit(function: NetworkFunction, models: Mapping[str, Any], packets: np.ndarray, config: Config) -> np.ndarray:
    """Scores of PACKET rows by one brick of each node between the graph's source and its end: float64 [packets], or [packets, results]."""
    require_runnable(function.graph)
    graph, key = function.graph, configured_key(function.extractor(config.layout), config)
    whole = replace(key, own=(), shadows=())  # one instance takes every packet, once
    middle = [id for id in graph.order if graph.before(id) and graph.after(id)]
    bricks = {id: function.build(graph.node(id), 0, models, {"limits": {}, "key": key.of_node(id)}) for id in middle}
    scores = np.empty((len(packets), max(1, len(key.results))))
    for begin in range(0, len(packets), SCORED_AT_ONCE):
        rows = Batch(packets[begin : begin + SCORED_AT_ONCE])
        given: dict[str, Batch] = {}
        for id in graph.order:
            pick = pick_for(id, whole)
            inputs = [given[before] if pick is None else pick(given[before]) for before in graph.before(id)]
            joined = join(inputs, joining_of(id, graph, whole)) if inputs else rows
            given[id] = bricks[id].process(joined) if id in bricks else joined
        last = given[graph.ends[0]]
        assert last.values is not None
        scores[last.head["seq"].astype(np.int64) - int(packets["seq"][0]), result_of(last.head["flags"])] = last.values[:, 0]
    return scores if key.results else scores[:, 0]


def _rounds(packets: np.ndarray, rounds: int) -> np.ndarray:
    """The packets `rounds` times over, stamped as the replay stamps them."""
    out = np.tile(packets, rounds)
    turn = np.repeat(np.arange(rounds), len(packets))
    out["seq"] = np.arange(len(out))
    out["time_ns"] += turn * (np.ptp(packets["time_ns"]) if len(packets) else 0)
    return out


class Experiment(Live):
    """A `Live` system with the testbed attached, which scales by its load; every look at it is remembered."""

    def __init__(self, config: Config, folder: Path, say: Callable[[str], None]) -> None:
        self.testbed = Testbed(config.switch.bridge)
        wire = self.testbed.source, self.testbed.sink
        stamped = replace(config.capture, stamps="trailer", stamp_ports=(self.testbed.source,))
        self.config = replace(config, forward=ForwardSettings("wires", (wire,)), capture=stamped)
        self.scores = folder / "scores"
        super().__init__(self.config, self.scores, say)
        self.paused = False
        self.system.on_bridge = self.testbed.attach
        self._next_event = 0
        self._replay: ReplayProcess | None = None
        self.actions: list[dict[str, Any]] = []
        self._owned: dict[int, set[int]] = {}  # instance -> buckets that it was ever seen to own

    def __enter__(self) -> Experiment:
        super().__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._replay is not None:
            self._replay.stop()
        super().__exit__()

    def watch(self, load: OfferedTraffic, settle_s: float) -> Iterator[RunObservation]:
        """Send the load and look a few times a second, until it is sent and the instances are merged again, or `settle_s` passed."""
        self._replay = self.testbed.send(load)
        while self._replay.running:
            yield from self._look_after()
        deadline = time.monotonic() + settle_s
        while time.monotonic() < deadline:
            seen = None
            for seen in self._look_after():
                yield seen
            if seen is not None and seen.instances <= self.config.scaling.min_instances and seen.quiet:
                return

    def _look_after(self) -> Iterator[RunObservation]:
        """One look, or none while an agent or a controller that ended is started anew: the traffic and the instances go on."""
        self.system.keep_up()
        try:
            yield self.look()
        except HostError:
            time.sleep(LOOK_S)

    @property
    def sending(self) -> bool:
        """Whether the load is still being sent."""
        return self._replay is not None and self._replay.running

    def enough(self) -> None:
        """No further packet of the load is sent."""
        assert self._replay is not None
        self._replay.enough()

    def look(self) -> RunObservation:
        """What the controller shows now. HostError if it or the agent has ended."""
        self.system.check()
        began = time.monotonic()
        shown = {name: self.get(name) for name in ("status", "bricks", "assignment", "alerts")}
        told = self.get(f"events?after={self._next_event}&limit=1000")
        self._next_event = told["next"]
        self.actions += told["events"]
        note_owned(self._owned, shown["assignment"]["by_owner"])
        time.sleep(max(0.0, LOOK_S - (time.monotonic() - began)))  # the pace of looking, not a wait for a fact
        return RunObservation(events=told["events"], **shown)

    def finish(self, unsplit: np.ndarray, packets: np.ndarray | None = None) -> RunSummary:
        """End the instances, drained, and account for every packet. `packets`, as they were sent, tell what died with an instance."""
        assert self._replay is not None
        sent = self._replay.result()
        entered, forwarded = self._through_the_switch(sent["sent"])
        self.look()
        told, moves = self.get("alerts"), self.get("moves?limit=1000")["moves"]
        alerts, others = told["by_source"], told["total"] - sum(told["by_source"].values())
        alerts |= {"others": others} if others > 0 else {}
        reports = self._end_instances()
        dropped = dropped_in(reports)
        if entered < sent["sent"]:  # Open vSwitch was not given the CPU to empty its socket in time
            dropped["before the switch"] = sent["sent"] - entered
        files = [read_scores(path) for path in sorted(self.scores.iterdir()) if not path.name.startswith(f"{REFERENCE}-")]
        records = np.concatenate(files) if files else np.empty(0, SCORE)
        results = unsplit[0].size if len(unsplit) else 1
        records, repeated = without_repeats(records, results) if self.config.standby else (records, 0)
        numbers = np.unique(numbers_of(records, results))
        left = sent["sent"] * results - len(numbers) - sum(dropped.values())
        if packets is not None:
            dropped |= died_with(self._unscored(packets[: sent["sent"]], numbers, results), Deaths(self._owned, moves, self.actions), left)
        return RunSummary(
            sent=sent["sent"],
            seconds=sent["seconds"],
            entered=entered,
            forwarded=forwarded,
            comparison=compare(records, unsplit),
            dropped=dropped,
            alerts=dict(sorted(alerts.items(), key=lambda item: (-item[1], item[0]))),
            actions=self.actions,
            moves=moves,
            machine=machine(self.config),
            out_of_order=out_of_order_in(reports),
            results=results,
            repeated=repeated,
        )

    def _unscored(self, packets: np.ndarray, numbers: np.ndarray, results: int) -> list[tuple[int, int]]:
        """(stamp, bucket) of the packets without a score, of each result."""
        key, found = key_of(self.config), []
        lacking = np.setdiff1d(np.arange(len(packets) * results), numbers)
        for result in range(results):
            seqs = lacking[lacking % results == result] // results
            fields = key.sides[result] if key.apart else key.own
            found += zip(seqs.tolist(), bucket_of(packets[seqs], self.config.buckets, fields).tolist(), strict=True)
        return found

    def await_ready(self) -> None:
        """Until instances enough run. HostError, with the reason, if one could not be started."""
        self.wait_for(f"instances ready: {self.instances}", self._is_ready)

    def _is_ready(self) -> bool:
        seen = self.look()
        failed = [event["text"] for event in seen.events if event["kind"] == "failed"]
        if failed:
            raise HostError(f"no instance could be started: {failed[0]}; see the logs in {self.system.run_dir}")
        return seen.instances >= self.instances and seen.quiet and seen.assignment["in_force"]

    def _through_the_switch(self, sent: int) -> tuple[int, int]:
        """Packets that the rules saw and that left at the sink; waits until all did, or until the counters stand still."""
        before, since = (-1, -1), time.monotonic()
        while True:
            now = self._counted()
            if now != before:
                before, since = now, time.monotonic()
            if min(now) >= sent or time.monotonic() - since > STILL_S:
                return now
            time.sleep(COUNT_S)  # the pace of looking

    def _counted(self) -> tuple[int, int]:
        ports = {port["name"]: port for switch in self.get("switches")["switches"] for port in switch["ports"]}
        return self.entered(), ports[self.testbed.sink]["tx_packets"]

    def _end_instances(self) -> list[dict[str, Any]]:
        """Stop what still runs, drained; the final load reports of the whole run, but for the twin's: what it misses, others have."""
        finished = list(self.get("status")["finished"])
        self.end_controller()  # it would start another instance
        for one in self.agent.call("instances"):
            finished += self.agent.call("stop_instance", one["instance"], 5000, timeout=30)["reports"]
        return [report for report in finished if report["instance"] != REFERENCE]


def machine(config: Config) -> dict[str, Any]:
    """What a figure of this run rests on."""
    return host.machine() | {"cpu_quota": config.instance.cpu_quota, "placement": config.instance.placement}
