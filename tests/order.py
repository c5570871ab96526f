"""In which order files of tests run, and how long each took: two workers end together when the longest files begin first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

SHOWN = 20
# Seconds of a file in two workers on two cores, as a run shows them at its end; only files that take long must be here.
SECONDS: dict[str, float] = {
    "tests/live/test_moves.py": 250,
    "tests/commands/test_paper.py": 235,
    "tests/live/test_supervised_host.py": 180,
    "tests/live/test_two_keys.py": 175,
    "tests/live/test_supervised.py": 125,
    "tests/commands/test_run.py": 98,
    "tests/system/test_local.py": 87,
    "tests/bricks/alerts/test_eve.py": 83,
    "tests/commands/test_bench.py": 80,
    "tests/live/test_bricks.py": 70,
    "tests/live/test_other_keys.py": 58,
    "tests/live/test_kills.py": 53,
    "tests/live/test_replicas.py": 52,
    "tests/simulation/test_policies.py": 51,
    "tests/ryu_apps/doors/test_rest_door.py": 50,
    "tests/ryu_apps/doors/test_openflow_door.py": 49,
    "tests/agent/test_server.py": 49,
    "tests/docs/test_tutorials.py": 45,
    "tests/ryu_apps/apps/test_live.py": 38,
    "tests/commands/test_tables.py": 33,
    "tests/core/control/test_step_fuzz.py": 33,
    "tests/live/test_split_prediction.py": 31,
    "tests/bricks/service/test_shards.py": 28,
    "tests/live/test_standby.py": 27,
    "tests/live/test_score_audit.py": 27,
    "tests/live/test_app.py": 26,
    "tests/live/test_red_team.py": 25,
    "tests/commands/test_watch.py": 25,
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
