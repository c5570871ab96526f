"""The tsv of Kitsune users: numbers, times and addresses out of text, exactly; what cannot be read is said."""

import gzip
import ipaddress

import numpy as np
import pytest

from bricks.files.captures import open_capture, read_packets
from bricks.kernels.parse.literals import read_dotted, read_ipv6, read_mac, read_time
from bricks.records.packets import ARP, CODE_SHIFT, ICMP, NO_PORT, PROTOCOL_SHIFT, TYPED
from lego_sdn.core.facts.errors import CaptureError
from lego_sdn.core.facts.loss import is_partial
from tests.bricks import odd, tshark
from tests.bricks.files import written
from tests.bricks.tshark import FIELDS

HEAD = "\t".join(FIELDS)
TCP, UDP, UNREACHABLE_PORT = 6 << PROTOCOL_SHIFT, 17 << PROTOCOL_SHIFT, TYPED | 3 << PROTOCOL_SHIFT | 3 << CODE_SHIFT


def line(**fields):
    values = {"frame.time_epoch": "1.5", "frame.len": "60", "eth.src": "02:00:00:00:00:0a", "eth.dst": "02:00:00:00:00:0b"}
    values |= {name.replace("_dot_", "."): value for name, value in fields.items()}
    return "\t".join(values.get(name, "") for name in FIELDS)


def row(fields):
    return line(**{name.replace(".", "_dot_"): value for name, value in fields.items()})


def write(tmp_path, *lines, end="\n", head=HEAD):
    return written.save(tmp_path / "x.tsv", (end.join([head, *lines]) + end).encode())


def as_bytes(text):
    data = np.frombuffer(b"\xff" + text.encode() + b"\xff", np.uint8)
    return data, 1, len(data) - 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("1540446382.933899000", 1540446382933899000),
        ("1488018343.844174", 1488018343844174000),
        ("1.000000001", 1000000001),
        ("1.0000000019", 1000000001),
        ("7.", 7 * 10**9),
        ("-1.5", -1500000000),
        ("4294967295.999999999", 4294967295999999999),
    ],
)
def test_times_are_exact(text, value):
    assert read_time(*as_bytes(text)) == (value, True)


@pytest.mark.parametrize("text", ["", ".", ".5", "1e9", "1,5", "-", "99999999999", "1.5x", "nan"])
def test_what_is_no_time(text):
    assert not read_time(*as_bytes(text))[1]


@pytest.mark.slow
def test_ipv6_addresses_of_every_form():
    rng = np.random.default_rng(2)
    numbers = [0, 1, 2**128 - 1, 1 << 127, 0xFFFF << 112, int(ipaddress.ip_address("::ffff:192.168.1.1"))]
    for _ in range(500):
        words = rng.integers(0, 1 << 16, 8) * (rng.random(8) < rng.random())
        numbers.append(int("".join(f"{int(word):04x}" for word in words), 16))
    for number in numbers:
        address = ipaddress.IPv6Address(number)
        for text in (address.compressed, address.exploded, address.compressed.upper()):
            high, low, good = read_ipv6(*as_bytes(text))
            assert good, text
            assert int(high) << 64 | int(low) == number, text
    for text in ("::ffff:10.1.2.3", "64:ff9b::1.2.3.4", "::1.2.3.4", "1:2:3:4:5:6:7.8.9.10"):
        high, low, good = read_ipv6(*as_bytes(text))
        assert good
        assert int(high) << 64 | int(low) == int(ipaddress.ip_address(text))


ADDRESS_NOISE = [
    ":",
    "1:",
    ":1",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "12345::",
    "g::",
    ":::",
    "1:2:3:4:5:6:7:8::",
    "::1.2.3",
    "1.2.3.4",
]


@pytest.mark.parametrize("text", [*ADDRESS_NOISE, "1::%eth0", "::1.2.3.4:5", "1:2:3:4:5:6:7:1.2.3.4"])
def test_what_is_no_ipv6_address(text):
    assert not read_ipv6(*as_bytes(text))[2]


@pytest.mark.slow
def test_random_text_is_an_ipv6_address_just_when_python_says_so():
    rng = np.random.default_rng(4)
    agreed = 0
    for _ in range(20_000):
        text = "".join(rng.choice(list(":::::12af"), rng.integers(2, 14)))
        try:
            number = int(ipaddress.IPv6Address(text))
        except ValueError:
            number = None
        high, low, good = read_ipv6(*as_bytes(text))
        assert (int(high) << 64 | int(low) if good else None) == number, text
        agreed += number is not None
    assert agreed > 50


def test_dotted_and_mac():
    assert read_dotted(*as_bytes("192.168.0.1")) == 0xC0A80001
    for text in ("1.2.3", "1.2.3.4.5", "256.1.1.1", "1..2.3", "1.2.3.", "a.b.c.d", "-1.2.3.4"):
        assert read_dotted(*as_bytes(text)) == -1
    assert read_mac(*as_bytes("5C:cf:7f:05:f2:c6")) == (0x5CCF7F05F2C6, True)
    for text in ("5c:cf:7f:05:f2", "5c:cf:7f:05:f2:cg", "5ccf7f05f2c6", "5c.cf.7f.05.f2.c6"):
        assert not read_mac(*as_bytes(text))[1]


@pytest.mark.slow
def test_columns_count_by_name_and_others_are_passed_over(tmp_path):
    names = ["ip.ttl", *reversed(FIELDS), "_ws.col.info"]
    values = {"frame.time_epoch": "2", "frame.len": "99", "ip.src": "1.2.3.4", "ip.dst": "5.6.7.8", "udp.srcport": "7", "udp.dstport": "8"}
    text = "\t".join({"ip.ttl": "64", "_ws.col.info": "Größe, any text"}.get(name, values.get(name, "")) for name in names)
    packets, warnings = read_packets([write(tmp_path, text, head="\t".join(names))])
    assert warnings == []
    record = packets[0]
    assert (record["time_ns"], record["length"], record["src_lo"], record["dst_lo"]) == (2 * 10**9, 99, 0x01020304, 0x05060708)
    assert (record["src_port"], record["dst_port"], record["src_mac"], record["flags"]) == (7, 8, 0, 5 | UDP)


@pytest.mark.slow
def test_kinds_of_packets(tmp_path):
    ip = {"ip.src": "10.0.0.1", "ip.dst": "10.0.0.2"}
    arp = {"arp.opcode": "1", "arp.src.proto_ipv4": "10.0.0.3", "arp.dst.proto_ipv4": "10.0.0.4"}
    icmp = {"icmp.type": "3", "icmp.code": "3", "udp.srcport": "53", "udp.dstport": "99"}
    lines = [row(ip | icmp), row(arp), row({"arp.opcode": "1"}), row({"ipv6.src": "fe80::1", "ipv6.dst": "ff02::2"}), row({})]
    lines += [row(ip | {"tcp.srcport": "1,2", "tcp.dstport": "3,4"})]
    packets, warnings = read_packets([write(tmp_path, *lines)])
    assert warnings == []
    assert packets["flags"].tolist() == [5 | ICMP | UNREACHABLE_PORT, 5 | ARP, ARP, 10, 15, 5 | TCP]
    assert packets["src_lo"].tolist() == [0x0A000001, 0x0A000003, 0, 1, 0x02000000000A, 0x0A000001]
    assert packets["src_hi"].tolist() == [0, 0, 0, 0xFE80 << 48, 0, 0]
    assert packets["src_port"].tolist() == [53, NO_PORT, NO_PORT, NO_PORT, NO_PORT, 1]
    assert packets["dst_port"].tolist() == [99, NO_PORT, NO_PORT, NO_PORT, NO_PORT, 3]


def test_of_a_tunnel_the_first_transport_and_the_outer_addresses_count(tmp_path):
    outer = {"ip.src": "10.0.0.1,172.16.0.1", "ip.dst": "10.0.0.2,172.16.0.2", "udp.srcport": "50000", "udp.dstport": "4789"}
    inner = {"tcp.srcport": "40000", "tcp.dstport": "80"}
    arp = {"arp.opcode": "1", "arp.src.proto_ipv4": "10.0.0.3", "arp.dst.proto_ipv4": "10.0.0.4"}
    packets, _ = read_packets([write(tmp_path, row(outer | inner), row(outer | arp), row(arp | {"arp.opcode": "3"}))])
    assert packets["src_port"].tolist() == [50_000, 50_000, NO_PORT]
    assert packets["dst_port"].tolist() == [4789, 4789, NO_PORT]
    assert packets["src_lo"].tolist() == [0x0A000001, 0x0A000001, 0x02000000000A]
    assert packets["flags"].tolist() == [5 | UDP, 5 | UDP, 15 | ARP]  # reverse ARP is taken by its MAC addresses


@pytest.mark.slow
@tshark.needs_tshark
@pytest.mark.parametrize("occurrence", ["f", "a"])
def test_tunnels_are_the_same_packets_in_a_pcap_and_in_its_tsv(tmp_path, occurrence):
    def vxlan(frame):
        return odd.ether(
            0x0800, odd.ipv4(17, b"\xc3\x50\x12\xb5" + (16 + len(frame)).to_bytes(2, "big") + b"\0\0\x08" + bytes(6) + b"\7\0" + frame)
        )

    frames = [odd.FRAMES[name] for name in ("tcp", "ip in ip", "gre", "gre of an echo", "unreachable", "ipv6 in ip", "reverse arp")]
    frames += [vxlan(odd.FRAMES[name]) for name in ("tcp", "echo", "arp request", "ipv6 udp", "unreachable", "padded to 60", "802.1Q")]
    path = written.save(tmp_path / "tunnels.pcap", written.pcap([written.Packet(n + 1, frame) for n, frame in enumerate(frames)]))
    from_tsv, _ = read_packets([tshark.write_tsv(path, tmp_path / "tunnels.tsv", occurrence)])
    from_pcap, _ = read_packets([path])
    for field in ("length", "src_hi", "src_lo", "dst_hi", "dst_lo", "src_mac", "dst_mac", "src_port", "dst_port"):
        assert from_tsv[field].tolist() == from_pcap[field].tolist(), field
    error = frames.index(
        vxlan(odd.FRAMES["unreachable"])
    )  # a text does not say what carries what: an error with ports could be the outer packet
    facts = [(rows["flags"] & (15 | ARP | ICMP)).tolist() for rows in (from_tsv, from_pcap)]
    for found in facts:
        del found[error]
    assert facts[0] == facts[1]
    inner = {"ip in ip": 40_000, "gre": 40_000}
    assert from_pcap["src_port"].tolist()[:3] == [40_000, *inner.values()]


def test_line_ends_blank_lines_and_gzip(tmp_path):
    lines = [row({"frame.len": str(n)}) for n in range(60, 65)]
    plain, _ = read_packets([write(tmp_path, *lines)])
    for path in (
        write(tmp_path, *lines, "", end="\r\n"),
        written.save(tmp_path / "x.gz", gzip.compress(("\n".join([HEAD, *lines]) + "\n").encode())),
        written.save(tmp_path / "no-newline.tsv", "\n".join([HEAD, *lines]).encode()),
        written.save(tmp_path / "short.tsv", ("\n".join([HEAD, *(text.rstrip("\t") for text in lines)]) + "\n").encode()),
    ):
        packets, warnings = read_packets([path])
        assert warnings == []
        np.testing.assert_array_equal(packets, plain)


def test_a_cut_last_line_is_not_a_packet(tmp_path):
    whole = "\n".join([HEAD, row({}), row({"ip.src": "10.0.0.1", "ip.dst": "10.0.0.255", "tcp.srcport": "5", "tcp.dstport": "80"})])
    for cut in range(whole.rindex("\n") + 2, whole.rindex("80") + 2):
        packets, warnings = read_packets([written.save(tmp_path / "cut.tsv", whole[:cut].encode())])
        assert len(packets) == 1
        assert f"before packet 2, at byte {whole.rindex(chr(10)) + 1}: the file stops within its line" in warnings[0]


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("frame.time_epoch", "yesterday"),
        ("frame.len", ""),
        ("frame.len", "4294967296"),
        ("eth.src", "zz:00:00:00:00:01"),
        ("ip.src", "10.0.0"),
        ("ip.dst", "10.0.0.1.2"),
        ("tcp.srcport", "65536"),
        ("udp.dstport", "http"),
        ("ipv6.src", "fe80:::1"),
    ],
)
def test_a_line_that_cannot_be_read_is_left_out_and_shown(tmp_path, field, text):
    ip = {} if field.startswith("ipv6") else {"ip.src": "10.0.0.1", "ip.dst": "10.0.0.2"}
    path = write(tmp_path, row({"frame.len": "61"}), "", row(ip | {field: text}), row({"frame.len": "62"}), row(ip | {field: text}))
    packets, warnings = read_packets([path])
    assert packets["length"].tolist() == [61, 62]
    assert packets["seq"].tolist() == [0, 1]
    assert is_partial(warnings)
    at = len(HEAD) + len(row({"frame.len": "61"})) + 3
    assert f"2 lines cannot be read and are left out, the first: line 4 (packet 2), at byte {at}: its {field} cannot be read" in warnings[0]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"frame.time_epoch": "1540446382,933"}, "its frame.time_epoch cannot be read: it has a decimal comma"),
        ({"frame.time_epoch": "1.540446e+09"}, "its frame.time_epoch cannot be read: it is written with an exponent"),
        ({"frame.time_epoch": "2018-10-25T05:46:22.9Z"}, "its frame.time_epoch cannot be read: it is a date"),
        ({"frame.time_epoch": "Oct 25, 2018 05:46:22.9 UTC"}, "its frame.time_epoch cannot be read: it is a date"),
        ({"frame.time_epoch": "1540446382933"}, "its frame.time_epoch cannot be read"),
        ({"frame.len": "60.0"}, "its frame.len cannot be read: it is written as a fraction"),
        ({"frame.len": "1,514"}, "its frame.len cannot be read: it has a decimal comma"),
        ({"frame.len": "6e1"}, "its frame.len cannot be read: it is written with an exponent"),
        ({"frame.len": "-60"}, "its frame.len cannot be read: '-60'"),
        ({"frame.len": '"60"'}, "its frame.len cannot be read: it is in quotes"),
        ({"udp.srcport": "53.0", "udp.dstport": "99.0"}, "its udp.srcport cannot be read: it is written as a fraction"),
        ({"icmp.type": "8.0"}, "its icmp.type cannot be read: it is written as a fraction"),
        ({"arp.opcode": "1.0"}, "its arp.opcode cannot be read: it is written as a fraction"),
        ({"arp.opcode": "nan"}, "its arp.opcode cannot be read: 'nan'"),
    ],
)
def test_numbers_of_other_dialects_are_never_read_as_something_else(tmp_path, fields, said):
    packets, warnings = read_packets([write(tmp_path, row(fields), row({}))])
    assert len(packets) == 1
    assert f"line 2 (packet 1), at byte {len(HEAD) + 1}: {said}" in warnings[0]


def test_a_line_with_too_few_or_too_many_values_is_left_out(tmp_path):
    udp = row({"ip.src": "10.0.0.1", "ip.dst": "10.0.0.2", "udp.srcport": "53", "udp.dstport": "99"}).split("\t")
    ipv6 = row({"ipv6.src": "fe80::1", "ipv6.dst": "fe80::2", "udp.srcport": "53", "udp.dstport": "99"}).split("\t")
    for values in (udp, ipv6):
        for at in range(len(FIELDS)):
            for extra in ([], [*("", values[at])], [*("7", values[at])]):
                changed = "\t".join([*values[:at], *extra, *values[at + 1 :]])
                packets, warnings = read_packets([write(tmp_path, changed, row({"frame.len": "99"}))])
                assert packets["length"].tolist() == [99], (FIELDS[at], extra)
                assert "line 2 (packet 1)" in warnings[0]


@pytest.mark.parametrize("quote", ['"', "'"])
def test_quotes_and_a_byte_order_mark(tmp_path, quote):
    lines = [row({"ip.src": "10.0.0.1", "ip.dst": "10.0.0.2", "udp.srcport": "53,7", "udp.dstport": "99,8"}), row({"frame.len": "77"})]
    plain, _ = read_packets([write(tmp_path, *lines)])
    quoted = ["\t".join(f"{quote}{value}{quote}" for value in text.split("\t")) for text in (HEAD, *lines)]
    filled = ["\t".join(f"{quote}{value}{quote}" if value else "" for value in text.split("\t")) for text in (HEAD, *lines)]
    for mark in ("", "\ufeff"):
        for end in ("\n", "\r\n"):
            for text in (quoted, filled, [HEAD, *lines]):
                packets, warnings = read_packets([written.save(tmp_path / "q.tsv", (mark + end.join(text) + end).encode())])
                assert warnings == []
                np.testing.assert_array_equal(packets, plain)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("\t", ",").encode(), "no tabs between its columns"),
        (lambda text: text.replace("\t", ";").encode(), "no tabs between its columns"),
        (lambda text: text.replace("\t", " ").encode(), "no tabs between its columns"),
        (lambda text: text.encode("utf-16"), "text in UTF-16"),
        (lambda text: text.encode("utf-16-be"), "text in UTF-16"),
        (lambda text: text.encode("utf-16-le"), "text in UTF-16"),
        (lambda text: text.replace("\n", "\r").encode(), "carriage return alone"),
        (lambda text: text.replace("ip.dst", "ip.src", 1).encode(), "lacks the columns ip.dst"),
        (lambda text: text.replace("icmp.code", "ip.src", 1).encode(), "has the columns ip.src more than once"),
    ],
)
def test_a_file_of_another_dialect_is_refused_by_its_name(tmp_path, change, said):
    path = written.save(tmp_path / "other.tsv", change(f"{HEAD}\n{row({})}\n"))
    with pytest.raises(CaptureError, match=said):
        read_packets([path])


def test_a_table_of_something_else(tmp_path):
    with pytest.raises(CaptureError, match=r"lacks the columns arp\.dst\.proto_ipv4, .*write it with tshark"):
        open_capture(written.save(tmp_path / "x.tsv", b"frame.time_epoch\tframe.len\n1\t2\n"))
    with pytest.raises(CaptureError, match="is no capture"):
        open_capture(written.save(tmp_path / "y.tsv", b"a\tb\n1\t2\n"))


def test_a_line_without_end_is_not_read_for_ever(tmp_path):
    path = written.save(tmp_path / "x.tsv", (HEAD + "\n" + row({}) + "\n" + "1" * 3_000_000).encode())
    packets, warnings = read_packets([path])
    assert len(packets) == 1
    assert "a line of more than 65536 bytes begins there" in warnings[0]
