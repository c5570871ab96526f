"""Reading the configuration file: good ones, and every wrong one named by file, line and key."""

from __future__ import annotations

import pytest

from lego_sdn.adapters.files.configfile import load, parse
from lego_sdn.core.facts.config import Config
from lego_sdn.core.facts.errors import ConfigError

GOOD = """
# a comment
model: /var/lib/lego/m.lego
buckets: 32
forward:
  mode: wires
  wires: [[eth0, eth1], [5, 6]]
scaling:
  max_instances: 3
  high_water: 0.7
"""


def test_a_file_is_a_configuration(tmp_path):
    path = tmp_path / "lego.yaml"
    path.write_text(GOOD)
    config = load(path)
    assert (config.buckets, config.scaling.max_instances, config.scaling.period_s) == (32, 3, Config().scaling.period_s)
    assert config.forward.wires == (("eth0", "eth1"), (5, 6))


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}"])
def test_an_empty_file_is_the_defaults(text):
    assert parse(text) == Config()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model: m\nbuckts: 3\n", "lego.yaml:2: buckts: wanted a key that exists"),
        ("scaling:\n  up_after: 2\n  high_water: 3\n", "lego.yaml:3: scaling.high_water: wanted a share above 0, up to 1, found 3"),
        ("scaling:\n  min_instances: 9\n", "lego.yaml:1: scaling.max_instances: wanted at least min_instances (9), found 4"),
        ("scaling:\n  nope: 1\n", "lego.yaml:2: scaling.nope: wanted a key that exists"),
        ("- a\n- b\n", "lego.yaml:1: configuration: wanted keys with values"),
        ("rest: 8080\n", "lego.yaml:1: rest: wanted keys with values, found 8080"),
        ("buckets: 32\nbuckets: 64\n", "lego.yaml:2: key buckets is given twice"),
        ("a: [1, 2\nb: 3", "lego.yaml:2: "),
        ("a: b: c", "lego.yaml:1: mapping values are not allowed here"),
        ("a: 1\n---\nb: 2\n", "lego.yaml:2: but found another document"),
        ("model: !!python/object/apply:os.system ['true']", "lego.yaml:1: could not determine a constructor"),
        ("model: \x00", "lego.yaml: holds a character that YAML does not allow"),
        ("model: m\n[a]: 1\n", "lego.yaml:2: found unhashable key"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text, says):
    with pytest.raises(ConfigError) as caught:
        parse(text, "lego.yaml")
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("section", "line", "wanted"),
    [
        ("scaling", "policy: fast", "one of bricks, predictive, water-marks, or a package.module:Class, found 'fast'"),
        ("scaling", "mode: pause", "one of act, advise, found 'pause'"),
        ("scaling", "max_instances: 65", "a whole number from 1 to 64, found 65"),
        ("scaling", "period_s: 0", "seconds, above 0 and at most 3600, found 0"),
        ("scaling", "reallocate: maybe", "true or false, found 'maybe'"),
        ("sla", "latency_ms: 0", "milliseconds, above 0 or null, found 0"),
        ("sla", "loss: 1", "a share from 0, below 1 or null, found 1"),
        ("sla", "tolerance: 2", "a share from 0 to 1, found 2"),
        ("sla", "latency: 5", "a key that exists (latency_ms, loss, tolerance, window_s), found 'latency'"),
        ("instance", "cpu_quota: 0", "cores, from 0.01 to 1024 or null, found 0"),
        ("instance", "placement: apart", "one of chained, separate, found 'apart'"),
        ("instance", "memory_mb: -1", "megabytes, above 0 or null, found -1"),
        ("instance", "slow_us: {x: -1}", "kinds of bricks with microseconds from 0 to 1000000, found {'x': -1}"),
        ("audit", "share: 2", "a share from 0 to 1, found 2"),
        ("audit", "share: 0.5", "0, unless exact is true and capture.stamps is trailer: without, scores differ between instances anyway"),
    ],
)
def test_a_wrong_value_is_told_with_file_key_and_what_is_allowed(section, line, wanted):
    with pytest.raises(ConfigError) as caught:
        parse(f"nf: kitsune\n{section}:\n  {line}\n", "lego.yaml")
    assert str(caught.value).startswith(f"lego.yaml:3: {section}.{line.partition(':')[0]}: wanted {wanted}")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read \(No such file or directory\)"):
        load(tmp_path / "none.yaml")


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is no text in UTF-8"):
        load(path)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 3000,
        "{a: " * 3000,
        "- " * 3000,
        "a: 2026-99-99",
        "a: 0x_",
        "a: !!int x",
        "a: !!float x",
        "a: !!timestamp x",
        "a: !!binary '\u00e9'",
        "a: !!set [b]",
        "a: !!pairs 3",
        "a: " + "9" * 5000,
        "buckets: 0x" + "f" * 5000,
        "instance: {memory_mb: 0x" + "f" * 5000 + "}",
        "? [a]\n: b",
        "? {a: b}\n: c",
        "&a [*a]",
        "forward: {mode: wires, wires: &a [[x, *a]]}",
        "forward: {mode: [], wires: 3}",
        "<<: 3",
        "<<: [3]",
        "scaling: {policy: '\\x1b[2J:X'}",
        "'\\n\\x1b[2J': 1",
        "\x1b",
        "a: b: c",
        "%YAML 9.9\n---\na",
        "--- a\n--- b",
        "*a",
        "!!python/object/apply:os.system [id]",
    ],
)
def test_no_text_is_anything_but_one_printable_sentence(text):
    with pytest.raises(ConfigError) as told:
        parse(text)
    assert str(told.value).isprintable()


def test_aliases_that_multiply_are_refused_at_once():
    """Nine lists of nine aliases each to the one before: nine to the ninth values."""
    lines = ["a0: &a0 [x, y, z]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10))]
    with pytest.raises(ConfigError, match="there are more than 20000 values"):
        parse("\n".join(lines) + "\nforward: {mode: wires, wires: *a9}")
    merged = ["a0: &a0 {x: 1}", *(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 10))]
    with pytest.raises(ConfigError, match="there are more than 20000 values"):
        parse("\n".join(merged))


def test_a_file_without_an_end_is_refused():
    with pytest.raises(ConfigError, match="is longer than 1048576 bytes"):
        load("/dev/zero")
    with pytest.raises(ConfigError, match="cannot be read"):
        load("a\0b")
