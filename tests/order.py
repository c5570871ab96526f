"""In which order files of tests run, and how long each took: two workers end together when the longest files begin first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

SHOWN = 20
# Seconds of a file in two workers on two cores, as a run shows them at its end; only files that take long must be here.
SECONDS: dict[str, float] = {
    "tests/live/test_moves.py": 200,
    "tests/live/test_two_keys.py": 140,
    "tests/commands/test_bench.py": 100,
    "tests/live/test_supervised.py": 90,
    "tests/live/test_replicas.py": 90,
    "tests/live/test_supervised_host.py": 80,
    "tests/live/test_other_keys.py": 77,
    "tests/live/test_bricks.py": 70,
    "tests/live/test_kills.py": 65,
    "tests/live/test_silent.py": 60,
    "tests/simulation/test_policies.py": 60,
    "tests/bricks/alerts/test_eve.py": 60,
    "tests/ryu_apps/doors/test_rest_door.py": 50,
    "tests/bricks/service/test_shards.py": 50,
    "tests/ryu_apps/doors/test_openflow_door.py": 48,
    "tests/bricks/service/test_handover.py": 45,
    "tests/agent/test_server.py": 45,
    "tests/bricks/kernels/test_features115.py": 43,
    "tests/core/policy/test_bricks.py": 37,
    "tests/commands/test_profile.py": 35,
    "tests/bricks/service/test_deaths.py": 34,
    "tests/live/test_red_team.py": 30,
    "tests/bricks/kernels/test_parse_captures.py": 30,
    "tests/core/control/test_step.py": 30,
    "tests/core/control/test_step_fuzz.py": 29,
    "tests/live/test_app.py": 28,
    "tests/live/test_hostile_places.py": 25,
}


def seconds_of(path: str) -> float:
    """The seconds that a file takes, as far as they are known."""
    return SECONDS.get(path, 0.0)


def slowest_files(reports: Iterable[Any]) -> list[tuple[str, float]]:
    """Files and their seconds, of tests with their fixtures, the slowest first."""
    total: Counter[str] = Counter()
    for report in reports:
        total[report.nodeid.partition("::")[0]] += getattr(report, "duration", 0.0)
    return total.most_common(SHOWN)
