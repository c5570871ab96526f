"""One way to wait after failures, for starts, merges and the auditor's twin."""

from __future__ import annotations

import pytest

from lego_sdn.core.control import manager, reference
from lego_sdn.core.control.state import STARTS
from lego_sdn.core.facts.backoff import Backoff, RetryWaits


@pytest.mark.parametrize(
    ("waits", "seconds"),
    [
        (STARTS, [0.5, 1.0, 2.0, 4.0, 300.0, 300.0]),
        (manager.MERGES, [30.0, 60.0, 120.0, 240.0, 480.0, 600.0, 600.0]),
        (reference.RETRY, [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]),
    ],
)
def test_each_failure_in_a_row_waits_longer_up_to_a_bound(waits, seconds):
    backoff, found = Backoff(), []
    for _ in seconds:
        backoff = backoff.after_failure(100.0, waits)
        found.append(backoff.until - 100.0)
    assert found == pytest.approx(seconds)
    assert backoff.failures == len(seconds)
    assert backoff.early(3.0, 100.0).lived_s == 3.0


def test_however_many_failures_the_wait_is_a_number():
    assert RetryWaits(0.5, 600.0).after(10**9) == 600.0
