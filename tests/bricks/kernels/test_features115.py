"""The 115 statistics: golden values, and the executable definition on real and on made traffic."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from bricks.feature_quantization import LAYOUTS, NAMES, extract
from bricks.kernels.exponent import exp2_f64
from bricks.records.packets import PACKET, SHADOW
from tests.bricks.definition115 import definition_with
from tests.bricks.feature_traffic import START, capture, defined, distance, traffic
from tests.examples import examples, few_in_quick

CAPTURES = ("vlan-4096", "mixed-4631", "iot23-8-1", "webddos-3104", "synack-reflection-8000", "synflood-37841")
RARE = 1e-6  # share of values that may be further off than 1e-9: variances within rounding of their floor


def assert_as_defined(found, wanted):
    off = distance(found, wanted)
    assert off.shape == found.shape
    assert off.max() <= 1e-6
    assert (off > 1e-9).mean() <= RARE, [NAMES["kitsune115"][column] for column in np.unique(np.argwhere(off > 1e-9)[:, 1])]


def test_names_are_those_of_the_definition(oracle):
    assert list(NAMES["kitsune115"]) == oracle.NAMES
    assert LAYOUTS["kitsune115"] == 115


@pytest.mark.data
@pytest.mark.parametrize(("part", "name"), [("benign", "mirai-benign-20000.pcap"), ("attack", "mirai-attack-5000.pcap")])
def test_golden_values(data, part, name):
    golden = np.load(data / "golden-kitsune115.npz")
    found = extract(capture(data, name), "kitsune115")
    assert_as_defined(found[golden[f"{part}_rows"]], golden[part])


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize(
    "name",
    few_in_quick((f"{name}.pcap" for name in CAPTURES), 2),
)
def test_as_the_definition_on_real_traffic(data, oracle, name):
    packets = capture(data, name, 3100)
    assert_as_defined(extract(packets), defined(oracle, packets))


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", ["mirai-benign-20000.pcap", "mirai-attack-5000.pcap", "iot23-8-1.pcap", "mixed-4631.pcap"])
def test_the_bits_of_the_definition_but_for_libms_powers(data, oracle, name):
    """With our 2**x in it, the definition has our bits, without an exception: what differs from it differs by last bits of 2**x."""
    packets = capture(data, name, 20_000)
    wanted = defined(definition_with(oracle.__file__, exp2_f64), packets)
    assert extract(packets).tobytes() == wanted.tobytes()


@given(packets=traffic())
@settings(max_examples=examples(60), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_as_the_definition_on_made_traffic(oracle, packets):
    assert_as_defined(extract(packets), defined(oracle, packets))


def test_no_packets_and_only_shadows_give_no_rows():
    assert extract(np.zeros(0, PACKET)).shape == (0, 115)
    shadows = np.zeros(5, PACKET)
    shadows["time_ns"], shadows["flags"] = START, SHADOW
    assert extract(shadows).shape == (0, 115)


def test_extremes_stay_finite():
    packets = np.zeros(6, PACKET)
    packets["time_ns"] = [0, 2**62, 5, 2**62, -(2**62), 2**62]
    packets["length"] = [0, 2**32 - 1, 1, 0, 2**32 - 1, 1]
    packets["src_hi"] = packets["dst_lo"] = 2**64 - 1
    packets["src_mac"] = 2**48 - 1
    packets["src_port"] = packets["dst_port"] = 0x10000
    assert np.isfinite(extract(packets)).all()
