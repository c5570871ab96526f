"""What a switch holds against what it should, and rules of others before LEGO's."""

from __future__ import annotations

from dataclasses import replace

from lego_sdn.core.facts.flow_rules import Act, Flow, Match, Rule
from lego_sdn.core.traffic.rule_compiler import RuleOptions, compile_rules
from ryu_apps.openflow.content import AGAIN_S, MANY, WHOLE_S, Content, Difference

RULES = compile_rules({bucket: 1 + bucket % 2 for bucket in range(64)}, {1: 5, 2: 6}, RuleOptions())
FOREIGN = Rule(0, 60000, (Match("eth_type", 0x0800),), (Act("normal"),), cookie=0x99)


def flows(*rules: Rule) -> list[Flow]:
    return [Flow(rule, 0, 0, 1.0) for rule in rules]


def test_every_kind_of_difference_is_found_also_where_the_number_is_the_same():
    some = next(rule for rule in RULES if rule.actions)
    changed = [replace(some, actions=()), replace(some, goto=9), replace(some, cookie=some.cookie + 1), replace(some, metadata=77)]
    for other in changed:
        assert Difference.of((RULES - {some}) | {other}, RULES) == Difference(0, other != some, 0)
    assert Difference.of((RULES - {some}) | {replace(some, priority=1)}, RULES) == Difference(1, 0, 1)
    assert str(Difference.of(frozenset(), RULES)) == f"{len(RULES)} missing"
    assert not Difference.of(RULES, RULES)


def test_rules_of_others_before_lego_s_are_told_once_and_when_they_are_gone():
    content = Content()
    assert content.take(flows(*RULES), 0.0) is None
    told = content.take(flows(*RULES, FOREIGN), 1.0)
    assert told is not None
    assert "table 0, priority 60000, cookie 0x99" in told
    assert content.take(flows(*RULES, FOREIGN), 2.0) is None
    assert content.words, "it is missing for as long as it is there"
    assert content.take(flows(*RULES), 2.0 + AGAIN_S) is not None
    assert not content.words


def test_rules_of_others_that_come_and_go_are_not_told_each_time():
    content = Content()
    told = [content.take(flows(replace(FOREIGN, cookie=turn)), float(turn)) for turn in range(60)]
    assert sum(text is not None for text in told) <= 60 / AGAIN_S + 1
    assert len(Content().words) == 0


def test_rules_that_take_nothing_from_lego_are_nobody_s_business():
    content = Content()
    assert content.take(flows(replace(FOREIGN, table=30), replace(FOREIGN, table=9)), 0.0) is None
    assert content.before == ()


def test_many_rules_of_others_are_read_less_often():
    content = Content()
    content.take(flows(*RULES), 0.0)
    assert content.is_due(WHOLE_S)
    content.take(flows(*(replace(FOREIGN, table=30, priority=number) for number in range(5 * MANY))), 0.0)
    assert not content.is_due(4 * WHOLE_S)
    assert content.is_due(5 * WHOLE_S)
    content.hurry()
    assert content.is_due(0.0)
