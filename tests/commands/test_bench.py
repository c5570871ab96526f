"""`lego bench`: every row gives complete output; the inputs are what they say; never a speed."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from bricks.feature_quantization import extract
from bricks.files.captures import read_packets
from bricks.records.packets import (
    ADDRESS_IPV4,
    ADDRESS_IPV6,
    ADDRESS_MAC,
    ADDRESS_NONE,
    FRAGMENT,
    ICMP,
    KIND_MASK,
    MALFORMED,
    NO_PORT,
    PACKET,
    VLAN,
)
from bricks.transport import rings
from lego_sdn.commands.bench import bench
from lego_sdn.core.facts.errors import ConfigError, HostError
from lego_sdn.experiments.bench import captures, features, groups, limits, live
from lego_sdn.experiments.bench.attack import growth, run
from lego_sdn.experiments.bench.inputs import Bench, BenchSizes
from lego_sdn.experiments.bench.rows import Result, Row
from lego_sdn.experiments.bench.timing import Lap, lap, rates, ratios
from lego_sdn.system import machine

TINY = ("--runs", "1", "--packets", "2000", "--seconds", "0.2", "--rate", "2000")
ROOT_GROUPS = ("idle.interface", "live", "elastic", "failover", "moves")
ROOT_ROWS = (*ROOT_GROUPS[:-1], "moves.100x3k")  # the other loads are the same with more of it
# a busy machine may hold no rate, or send nothing in a move
ZERO_IS_FINE = ("drops", "bytes", "growth", "idle", "live.rate", "wait", "lost", "different")


def invoke(*arguments: str):
    return CliRunner().invoke(bench, arguments, catch_exceptions=False)


def measured(*arguments: str) -> dict:
    """The JSON of a run in which no row failed."""
    result = invoke(*arguments, *TINY, "--json")
    told = json.loads(result.stdout)
    assert [(row["name"], row["failed"]) for row in told["rows"] if row["failed"]] == []
    assert result.exit_code == 0
    return told


def check(row: dict) -> None:
    """A row is complete, and its figures fit together."""
    assert len(row["runs"]) == 1, row
    assert all(math.isfinite(value) for value in row["runs"] + row["runs_by_cpu"]), row
    assert row["min"] <= row["median"] <= row["max"]
    if not any(word in row["name"] for word in ZERO_IS_FINE):
        assert row["median"] > 0, row
    assert (row["verdict"] != "") == (row["at_least"] is not None)
    assert row["what"]
    assert row["unit"]


@pytest.fixture
def no_data(monkeypatch, tmp_path):
    monkeypatch.setenv("LEGO_DATA", str(tmp_path / "nothing"))


def names_of(*wanted: str) -> list[str]:
    return [row.name for row in groups.all_rows() if row.name in groups.choose(wanted)]


@pytest.mark.slow
def test_every_row_without_root_on_synthetic_traffic(no_data):
    rows = [name for name in names_of() if name not in names_of(*ROOT_GROUPS)]
    told = measured(*rows)
    assert "synthetic" in told["traffic"]
    assert told["sizes"]["packets"] == 2000
    assert {"cpu", "cores", "memory_gb", "load"} <= set(told["machine"])
    assert [row["name"] for row in told["rows"]] == rows
    found = {row["name"]: row for row in told["rows"]}
    assert "--oracle" in found.pop("features.oracle")["skipped"]
    for row in found.values():
        check(row)
    for name in names_of("cost"):
        detail = found[name]["detail"]
        assert detail["limit"] == pytest.approx(sum(detail["parts"].values()))
        assert detail["limit"] > 0
    assert rings.names(f"lego-bench-{os.getpid()}") == []


@pytest.mark.root
def test_every_row_with_root_and_nothing_is_left(no_data):
    before = set(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else set()
    told = measured(*ROOT_ROWS)
    assert [row["name"] for row in told["rows"]] == [name for name in names_of() if name in names_of(*ROOT_ROWS)]
    for row in told["rows"]:
        check(row)
    mine = str(os.getpid() % 10**6)
    left = {name for name in set(os.listdir("/run/netns")) - before if mine in name}
    assert left == set()
    assert not [name for name in os.listdir("/sys/class/net") if name.startswith((f"lgb{mine}", f"lgs{mine}"))]
    assert rings.names(f"lego-bench-{os.getpid()}") == []


@pytest.mark.slow
def test_without_root_such_rows_are_skipped_with_a_reason(monkeypatch, no_data):
    monkeypatch.setattr(machine, "is_root", lambda: False)
    told = measured("elastic", "live.p99")
    assert {row["skipped"].split(",")[0] for row in told["rows"]} == {"needs root"}


@pytest.mark.slow
@pytest.mark.data
def test_the_oracle_gets_the_packets_that_the_brick_gets(data, oracle):
    packets, _ = read_packets([data / "mirai-benign-20000.pcap"])
    statistics = oracle.Statistics()
    wanted = np.array([statistics.features(*call) for call in features.arguments(packets[:300])])
    assert np.allclose(extract(packets[:300]), wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
@pytest.mark.data
def test_with_captures_there_is_a_ratio_to_the_oracle(data):
    told = measured("features.oracle", "--data", str(data))
    assert str(data) in told["traffic"]
    check(told["rows"][0])


@pytest.mark.slow
def test_on_a_terminal_each_row_is_a_line_of_figures_and_one_of_words(no_data):
    result = invoke("help", "cost.result", *TINY)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert "synthetic" in lines[1]
    figures = next(line for line in lines if line.startswith("help "))
    assert "<= 0.3" in figures
    assert "Cost model" in result.stdout
    assert "cost.result" in lines[-2]


def test_the_list_of_rows_measures_nothing():
    assert [line.split()[0] for line in invoke("--list", "kitnet").stdout.splitlines()] == names_of("kitnet")


def test_a_row_that_does_not_exist_is_named():
    with pytest.raises(ConfigError, match=r"no row 'kit'; the rows are parse, parse\.odd, features"):
        invoke("kit")


def test_data_without_the_capture_is_refused(tmp_path):
    result = invoke("help", "--data", str(tmp_path))
    assert result.exit_code == 2
    assert "mirai-benign-20000.pcap" in result.stderr


def test_a_group_that_fails_does_not_keep_the_others_from_being_measured(monkeypatch, tmp_path):
    rows = (Row("one", "", ""), Row("two", "", ""))

    def breaks(bench, wanted):
        yield Result(rows[0], runs=(1.0,))
        raise HostError("no more of it")

    modules = {"a": SimpleNamespace(ROWS=rows, measure=breaks)}
    modules["b"] = SimpleNamespace(ROWS=(Row("three", "", ""),), measure=lambda bench, wanted: iter([Result(Row("three", "", ""), (3.0,))]))
    monkeypatch.setattr(groups, "GROUPS", ("a", "b"))
    monkeypatch.setattr(groups, "module_of", modules.__getitem__)
    found = list(groups.measure(Bench(BenchSizes(), tmp_path), frozenset({"one", "two", "three"})))
    assert [(one.row.name, one.value, one.failed) for one in found] == [
        ("one", 1.0, None), ("two", None, "no more of it"), ("three", 3.0, None)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fewer", "wall", "cpu", "verdict"),
    [
        (False, 25.0, None, "aim"),
        (False, 15.0, None, "at least"),
        (False, 5.0, None, "below"),
        (False, 5.0, 15.0, "at least, by CPU time"),
        (False, 5.0, 6.0, "below"),
        (False, 15.0, 25.0, "at least"),
        (True, 5.0, None, "at least"),
        (True, 15.0, None, "below"),
    ],
)
def test_the_verdict_is_that_of_the_wall_clock_unless_other_load_is_to_blame(fewer, wall, cpu, verdict):
    row = Row("x", "", "", 10.0, None if fewer else 20.0, fewer)
    assert Result(row, runs=(wall, 0.0, 100.0), by_cpu=(cpu,) if cpu else ()).verdict == verdict


def test_one_run_that_loses_a_packet_is_below_whatever_the_others_did():
    losses = [row for row in groups.all_rows() if row.name.endswith(("drops", ".lost", ".different"))]
    assert {row.name for row in losses} == {
        "live.drops",
        "live.switch.drops",
        "moves.lost",
        "moves.different",
        "failover.lost",
        "failover.different",
    }
    for row in losses:
        assert Result(row, runs=(0.0, 0.0, 0.0, 0.0, 1.0)).verdict == "below"
        assert Result(row, runs=(0.0,) * 5).verdict == "at least"
        assert Result(row, runs=(0.0, 0.0, 1.0)).as_dict()["judged_by"] == "worst run"
    assert Result(Row("x", "", "", 10.0, fewer=True), runs=(1.0, 1.0, 99.0)).verdict == "at least", "another row is judged by its median"


def test_figures_are_medians_and_ratios_are_of_one_run():
    laps = [Lap(2.0, 1.0), Lap(4.0, 2.0)]
    child = lap(lambda: subprocess.run([sys.executable, "-c", "sum(range(3_000_000))"], check=True))
    assert child.cpu > 0.005  # of the child: this process only waits
    assert rates(laps, 8) == {"runs": (4.0, 2.0), "by_cpu": (8.0, 4.0)}
    assert ratios(laps, [Lap(1.0, 1.0), Lap(4.0, 4.0)]) == {"runs": (2.0, 1.0), "by_cpu": (1.0, 0.5)}
    assert Result(Row("x", "", ""), runs=(1.0, 9.0, 2.0)).value == 2.0


@pytest.mark.slow
def test_a_large_capture_is_the_small_one_again_and_again(tmp_path):
    small = Bench(BenchSizes(packets=700), tmp_path)
    wanted = captures.repeated(read_packets([small.benign_capture])[0][:300], 700)
    first = small.frames.tiled(300)
    found, warnings = read_packets([captures.write_repeated(tmp_path / "large.pcap", first, 700)])
    assert warnings == []
    assert np.array_equal(found, wanted)
    assert (np.diff(found["time_ns"]) >= 0).all()
    assert found["seq"].tolist() == list(range(700))


def test_odd_frames_are_of_every_kind(tmp_path):
    packets, warnings = read_packets([Bench(BenchSizes(packets=22), tmp_path).odd_capture])
    assert warnings == []
    assert np.array_equal(packets["flags"][:11], packets["flags"][11:])
    for fact in (VLAN, FRAGMENT, MALFORMED, ICMP):
        assert 0 < np.count_nonzero(packets["flags"] & fact) < 22
    kinds = (packets["flags"] & KIND_MASK).tolist()
    assert {ADDRESS_NONE, ADDRESS_IPV4, ADDRESS_IPV6, ADDRESS_MAC} == set(kinds), "an unsound header has no address for the switch either"
    assert packets["dst_port"][:8].tolist() == [23, 23, 23, 53, NO_PORT, 23, 53, 23]


def test_attacks_have_as_many_pairs_as_packets():
    real = np.zeros(37, PACKET)
    real["time_ns"], real["dst_lo"] = np.arange(37) * 5, 9
    for rows in (captures.scan(5000), captures.flood(5000, None), captures.flood(5000, real)):
        assert len(np.unique(np.stack((rows["src_lo"], rows["dst_lo"])), axis=1).T) == 5000
        assert (np.diff(rows["time_ns"]) >= 0).all()
    assert len(np.unique(captures.scan(5000)["src_lo"])) == 1
    assert len(np.unique(captures.flood(5000, None)["dst_lo"])) == 1


def test_an_attack_at_the_bound_evicts_and_says_how_memory_grew():
    one = run(captures.flood(4000, None), 1000)
    assert max(one.streams) <= 1000
    assert one.evicted >= 4 * 3000
    assert one.whole.cpu > sum(part.cpu for part in one.slices)  # the tables count
    whole = SimpleNamespace(streams=(50, 100, 100, 100), resident=(0, 500, 1000, 1100, 1200))
    assert growth(whole, bound=100, part=50) == 2.0  # 200 bytes for the 100 pairs after the part that filled the table


def test_a_row_that_fails_makes_the_exit_code_one(monkeypatch, no_data):
    monkeypatch.setattr("lego_sdn.experiments.bench.start.lap", lambda command: (_ for _ in ()).throw(HostError("it does not start")))
    result = invoke("help", *TINY)
    assert result.exit_code == 1
    assert "failed: it does not start" in result.stdout


@pytest.mark.parametrize(("limit", "generator"), [(100_000, 10**9), (260_000, 10**9), (10**9, 200_000), (0, 10**9)])
def test_the_search_finds_the_highest_rate_that_is_held(monkeypatch, limit, generator):
    def attempt(bench, instance, step):
        offered = min(step.rate, generator)
        lost = 0 if offered <= limit else 7
        return live.Trial(step.rate, offered, 1000, lost, lost, 0.05, 1.0)

    monkeypatch.setattr(live, "attempt", attempt)
    rate, starved = live.search(SimpleNamespace(sizes=BenchSizes()), None, "x")
    assert rate <= limit
    assert rate > min(limit, generator) * 0.9 or limit == 0
    assert starved == (generator < limit)


def test_a_ring_that_fills_up_is_not_held():
    fine = live.Trial(1000, 1000, 1000, 0, 0, 0.06, 1.0)
    assert fine.held
    assert not live.Trial(*list(vars(fine).values())[:5], lag_s=1.0, cpu_us=1.0).held
    assert live.Trial(1000, 900, 1000, 0, 0, 0.06, 1.0).starved


def test_the_machines_rates_are_all_there():
    found = limits.measure(0.01).as_dict()
    assert all(0 < value < 1e5 for value in found.values()), found
