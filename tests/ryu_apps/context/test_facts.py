"""Rates from counters that begin anew, and alerts of processes that come and go."""

from __future__ import annotations

from lego_sdn.core.facts.flow_rules import Cookie, Flow, Port, Rule
from ryu_apps.context.facts import KEPT_ALERTS, KEPT_SOURCES, SHOWN_SOURCES, Alerts, BucketRates, ObservedProcess, PortLosses

PATIENCE_S = 7.0


def flow(bucket: int | None, owner: int, packets: int, family: int = 1, role: str = "owner") -> Flow:
    return Flow(Rule(1, 300, cookie=Cookie(1, role, family, bucket, owner).encode()), packets, 0, 1.0)


def test_rates_add_up_the_forms_of_an_address():
    rates = BucketRates()
    assert rates.take([flow(5, 1, 100), flow(5, 1, 10, family=2)], 10.0) == {}
    assert rates.take([flow(5, 1, 150), flow(5, 1, 20, family=2), flow(6, 1, 0)], 12.0) == {5: 30.0, 6: 0.0}


def test_a_new_rule_and_a_replaced_one_count_from_their_start():
    rates = BucketRates()
    rates.take([flow(5, 1, 1000)], 0.0)
    assert rates.take([flow(5, 2, 50)], 1.0) == {5: 50.0}, "another owner: another rule"
    assert rates.take([flow(5, 2, 20)], 2.0) == {5: 20.0}, "the same rule, put back after it was gone"


def test_rules_without_a_bucket_do_not_count():
    rates = BucketRates()
    rates.take([], 0.0)
    assert rates.take([flow(None, 1, 5, role="base")], 1.0) == {}


def test_after_the_switch_was_gone_there_is_no_rate_at_first():
    rates = BucketRates()
    rates.take([flow(5, 1, 100)], 0.0)
    rates.forget()
    assert rates.take([flow(5, 1, 100)], 1.0) == {}


def test_alerts_are_bounded_and_totals_outlive_their_process():
    alerts = Alerts()
    alerts.count((1, "1-a", 7), 3, {"10.0.0.1": 3})
    alerts.count((2, "2-a", 8), 10, {"10.0.0.1": 1, "10.0.0.2": 9})
    alerts.add(1, [{"seq": number, "source": "10.0.0.1"} for number in range(KEPT_ALERTS + 5)])
    assert len(alerts.latest) == KEPT_ALERTS
    assert alerts.latest[-1] == {"instance": 1, "seq": KEPT_ALERTS + 4, "source": "10.0.0.1"}
    alerts.end([(2, "2-a", 8)])
    assert (list(alerts.top.items()), alerts.total) == ([("10.0.0.2", 9), ("10.0.0.1", 4)], 13)
    assert list(alerts.by_process) == [(1, "1-a", 7)], "those of the dead are forgotten"


def test_the_total_never_goes_down_while_processes_forget_sources_die_and_come_back():
    alerts, totals = Alerts(), [0]
    first, second = (1, "1-a", 7), (1, "1-a", 9)
    for key, raised, sources in ((first, 5000, 4096), (first, 6000, 2048), (first, 6500, 4000), (second, 10, 10)):
        alerts.count(key, raised, {f"s{number}": 1 for number in range(sources)})
        alerts.end([first] if key is second else [])
        totals.append(alerts.total)
    assert totals == [0, 5000, 6000, 6500, 6510]
    alerts.finish({"instance": 1, "process": "1-a", "pid": 9, "bricks": [{"counters": {"alerts": 12}}, {"counters": {}}]})
    assert alerts.total == 6512, "the last word counts"
    alerts.count(first, 6600, {})
    assert alerts.total == 6612, "who is taken for dead and is not is not counted twice"
    alerts.end([second, first])
    assert (alerts.total, alerts.by_process, alerts.raised) == (6612, {}, {})


def test_a_flood_of_sources_stays_bounded_over_any_number_of_deaths():
    alerts = Alerts()
    for pid in range(20):
        alerts.count((1, "1-a", pid), 4096, {f"s{pid}-{number}": 1 for number in range(4096)} | {"loud": 100})
        alerts.end([(1, "1-a", pid)])
    assert len(alerts.by_source) <= KEPT_SOURCES
    assert len(alerts.top) == SHOWN_SOURCES
    assert next(iter(alerts.top.items())) == ("loud", 2000)
    assert alerts.total == 20 * 4096


def test_a_process_that_stays_silent_is_given_up_again_and_again():
    process, now, told = ObservedProcess(1, "1-f", "/nowhere", 42), 100.0, []
    for after_s in (0.0, PATIENCE_S, 0.1, PATIENCE_S, 0.1):
        now += after_s
        told.append(process.stays_silent("timed out", now, PATIENCE_S))
    assert told == [False, False, True, False, True]
    assert process.error == "timed out"
    process.silent_since = None  # it answered
    assert not process.stays_silent("timed out", now + PATIENCE_S + 1, PATIENCE_S)


def port(number: int, tx_dropped: int) -> Port:
    return Port(number, 10, 20, 1000, 2000, 5, tx_dropped)


def test_losses_are_those_of_ports_that_lose_now():
    losses = PortLosses()
    assert losses.take([port(1, 100), port(2, 7)], 10.0) == {}, "what was lost before is not lost now"
    assert losses.take([port(1, 150), port(2, 7)], 12.0) == {1: 25.0}
    assert losses.take([port(1, 150), port(2, 8), port(3, 900)], 13.0) == {2: 1.0}, "a new port has lost nothing yet"
    assert losses.take([port(1, 20), port(3, 904)], 15.0) == {3: 2.0}, "counters that began anew lose nothing"
    assert losses.take([port(3, 905)], 15.0) == {}, "in no time there is no rate"
