"""The packet record: what every brick, reader and kernel agrees a packet is.

A record is 80 bytes and self-contained: an address is two 64-bit words and a kind, so that no table of names is needed
to compare, hash or move it.
"""

import numpy as np

from lego_sdn.core.nf.split_key import bits_of

PACKET = np.dtype(
    [
        ("seq", "<u8"),  # stamp: sequence number, 0-based
        ("time_ns", "<i8"),  # stamp: nanoseconds since the epoch
        ("src_hi", "<u8"),  # source address, high word (0 for IPv4 and MAC)
        ("src_lo", "<u8"),  # source address, low word, as a big-endian number: 192.168.0.1 is 0xC0A80001
        ("dst_hi", "<u8"),
        ("dst_lo", "<u8"),
        ("src_mac", "<u8"),  # 48 bits, as a big-endian number
        ("dst_mac", "<u8"),
        ("length", "<u4"),  # bytes on the wire, without a stamp trailer and without a shadow mark
        ("src_port", "<u4"),  # TCP or UDP, also of a header quoted by an ICMP error; NO_PORT where there is none
        ("dst_port", "<u4"),
        ("flags", "<u4"),
    ]
)

NO_PORT = 0x10000

# flags: two bits each for the kind of the source and destination address, then one bit per fact
ADDRESS_NONE, ADDRESS_IPV4, ADDRESS_IPV6, ADDRESS_MAC = 0, 1, 2, 3
SRC_KIND_SHIFT, DST_KIND_SHIFT = 0, 2
KIND_MASK = 3
ARP = 1 << 4  # ARP or reverse ARP; addresses of kind IPv4 are the sender's and target's protocol addresses
ICMP = 1 << 5  # ICMPv4; ports, if any, are those of the quoted header
SHADOW = 1 << 6  # a copy for state only: not scored
STAMPED = 1 << 7  # seq and time come from a stamp trailer, not from the local clock
VLAN = 1 << 8  # at least one VLAN tag of the traffic's own
FRAGMENT = 1 << 9  # an IP fragment that is not the first
MALFORMED = 1 << 10  # a header is cut short or contradicts itself; fields up to there are valid

# three bits more: why the addresses are not those of an IP or ARP header within. The switch does not see them: it takes the packet by its
# MAC addresses, or, if a header is unsound (lengths that the frame does not bear out), by the address 0
HIDDEN_SHIFT, HIDDEN_MASK = 11, 7
IN_TAGS, IN_PPPOE, IN_MPLS, IN_OTHER, UNSOUND = 1, 2, 3, 4, 5
HIDDEN = (
    "",
    "VLAN tags that the switch does not look through",
    "PPPoE",
    "MPLS",
    "other encapsulation",
    "unsound headers",
)  # by these numbers

# Eight bits: the protocol of the outermost IP header, behind its extension headers; 0 where it is not known. With TYPED it is ICMP (ICMPv6
# unless ICMP is set), and these bits are its type, the next eight its code
PROTOCOL_SHIFT, CODE_SHIFT, BYTE_MASK = 14, 22, 0xFF
TYPED = 1 << 30

# the last bit: which of two results of its packet a row is, where keyed nodes divide packets by keys of their own (`SplitKey.results`)
RESULT_SHIFT, RESULT_MASK = 31, 1

STAMP_MAGIC = 0x4C45474F  # "LEGO", big-endian, first of the trailer
STAMP_BYTES = 20  # magic u32, sequence number u64, nanoseconds u64, all big-endian

# A frame of the controller's, under MARKER_VID, that shows what went through the switch before it: Ethernet header, magic u32, token u64
MARKER_TYPE, MARKER_MAGIC, MARKER_BYTES = 0x88B5, 0x4C454D4B, 26


def seconds(time_ns: np.ndarray) -> np.ndarray:
    """Epoch seconds, float64, of integer nanoseconds: the correctly rounded value."""
    whole = time_ns // 1_000_000_000
    return whole + (time_ns - whole * 1_000_000_000) / 1e9


_LOW_WORDS = {"src_ip": "src_lo", "dst_ip": "dst_lo"}  # of fields that have two
_PORTS = ("src_port", "dst_port")


def bucket_of(packets: np.ndarray, buckets: int, fields: tuple[str, ...] = ("src_ip",)) -> np.ndarray:
    """Bucket of each packet by header fields: their low bits, as the switch's masks take them, those of the first field highest.

    `buckets` is a power of two. uint64 [packets].
    """
    if len(fields) == 1:
        return _values(packets, fields[0]) & np.uint64(buckets - 1)
    found = np.zeros(len(packets), np.uint64)
    for field, bits in zip(fields, bits_of(buckets, len(fields)) if fields else (), strict=True):
        found = found << np.uint64(bits) | _values(packets, field) & np.uint64((1 << bits) - 1)
    return found


def _values(packets: np.ndarray, field: str) -> np.ndarray:
    """The low words of a field, uint64 [packets]. Ports are those that a switch sees: where there are none, and where an ICMP error quotes
    them, they are 0."""
    values: np.ndarray = packets[_LOW_WORDS.get(field, field)]
    if field in _PORTS:
        unseen = packets["flags"] & (ICMP | FRAGMENT) != 0
        return np.where(unseen | (values == NO_PORT), 0, values).astype(np.uint64)
    return values
