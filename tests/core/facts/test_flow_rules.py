"""Rules as values: cookies and addresses there and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lego_sdn.core.facts.flow_rules import COOKIE_MAGIC, COOKIE_MASK, ROLES, Cookie, Match, Rule, number, text

small = st.none() | st.integers(0, 0xFFFE)
cookies = st.builds(Cookie, st.integers(0, 255), st.sampled_from(ROLES), st.integers(0, 15), small, small)


@given(cookies)
def test_a_cookie_says_what_it_was_made_of(cookie):
    code = cookie.encode()
    assert code < 1 << 64
    assert code & COOKIE_MASK == COOKIE_MAGIC << 48
    assert Cookie.decode(code) == cookie


@pytest.mark.parametrize("foreign", [0, 1, 0x1E61 << 48, COOKIE_MAGIC << 48 | 15 << 36])
def test_a_foreign_cookie_is_none_of_ours(foreign):
    assert Cookie.decode(foreign) is None


@pytest.mark.parametrize(
    ("field", "value", "written"),
    [
        ("ipv4_src", 0xC0A80001, "192.168.0.1"),
        ("arp_tpa", 63, "0.0.0.63"),
        ("ipv6_dst", 0xFE80 << 112 | 1, "fe80::1"),
        ("eth_src", 0x0200000000FE, "02:00:00:00:00:fe"),
        ("metadata", 3, 3),
    ],
)
def test_addresses_are_written_and_read(field, value, written):
    assert text(field, value) == written
    assert number(field, written) == value


def test_rules_with_the_same_match_in_another_order_are_the_same_flow():
    a, b = Match("eth_type", 0x800), Match("ipv4_src", 1, 63)
    assert Rule(1, 2, (a, b)).key == Rule(1, 2, (b, a), cookie=7).key
    assert Rule(1, 2, (a, b)).key != Rule(1, 3, (a, b)).key
