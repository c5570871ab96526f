"""What `lego run` shows, on a terminal and elsewhere."""

import io

from rich.console import Console

from lego_sdn.commands.run_view import View
from lego_sdn.experiments.accounting import RunSummary, ScoreComparison
from lego_sdn.experiments.run import RunObservation

EVENT = {"number": 1, "time": 0.0, "kind": "replicate", "text": "starting instance 2", "instance": 2}


def observation() -> RunObservation:
    load = {"packets": 1234.0, "cpu": 0.91, "queue": 0.25, "drops": 3.0, "service_us": 4.0}
    brick = {"kind": "feature-quantization", "packets_per_s": 1200.0, "service_us": 3.5, "cpu_s": 1.0, "queue_in": 17}
    status = {
        "instances": [{"instance": 1, "phase": "running", "ofport": 3, "buckets": 64, "load": load}, {"instance": 2, "phase": "starting"}],
        "alerts": 5,
    }
    status["instances"][1] |= {"ofport": None, "buckets": 0}
    process = {"instance": 1, "process": "1-a", "cpu": 0.5, "bricks": ["feature-quantization-0"]}
    return RunObservation(status, {"bricks": [brick, dict(brick)], "processes": [process]}, {}, {}, [EVENT])


def summary() -> RunSummary:
    machine = {"cpu": "a CPU", "cores": 2, "cpu_quota": 0.04, "placement": "chained"}
    compared = ScoreComparison(scored=90, twice=0, equal=45, first_difference=7)
    return RunSummary(100, 2.0, 98, 98, compared, {"before the switch": 2}, {"10.0.0.9": 40, "10.0.0.1": 1}, [EVENT], machine)


def shown(terminal: bool) -> str:
    view = View()
    view.console = Console(file=io.StringIO(), force_terminal=terminal, width=120, highlight=False, no_color=True)
    with view.live():
        view.show(observation())
    view.summary(summary())
    return view.console.file.getvalue()


def test_a_terminal_gets_tables_of_instances_bricks_and_actions():
    text = shown(terminal=True)
    for words in ("91%", "1,234", "feature-quantization", "2,400", "34", "starting instance 2", "running", "starting"):
        assert words in text


def test_elsewhere_each_thing_that_happens_is_a_line():
    lines = shown(terminal=False).splitlines()
    assert sum("starting instance 2" in line for line in lines) == 1
    assert any("CPU of quota by instance 1: 91%, 2: starting" in line for line in lines)


def test_the_summary_accounts_for_every_packet_and_puts_the_worst_source_first():
    text = shown(terminal=False)
    for words in ("100 in 2.0 s (50 packets/s)", "dropped: before the switch", "8", "45 of 90 (50.000%)", "packet 7"):
        assert words in text
    assert text.index("10.0.0.9") < text.index("10.0.0.1 ")
