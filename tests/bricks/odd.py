"""Hand-made frames: every case that the parser must tell apart, by name."""

from __future__ import annotations

import struct
from ipaddress import ip_address

DST, SRC = bytes.fromhex("02000000000b"), bytes.fromhex("02000000000a")
A4, B4 = "192.168.1.10", "10.1.2.3"
A6, B6 = "2001:db8::a", "fe80::1:2:3:b"


def ether(kind: int, payload: bytes, tags: tuple[tuple[int, int], ...] = ()) -> bytes:
    return DST + SRC + b"".join(struct.pack("!HH", *tag) for tag in tags) + struct.pack("!H", kind) + payload


def llc(payload: bytes, size: int | None = None) -> bytes:
    return ether(len(payload) if size is None else size, payload)


def ipv4(protocol: int, payload: bytes, **how) -> bytes:
    """`how`: options, total, fragment (the 16 bits), first (the first byte), src, dst."""
    options = how.get("options", b"")
    first = how.get("first", 0x45 + len(options) // 4)
    total = how.get("total", 20 + len(options) + len(payload))
    head = struct.pack("!BBHHHBBH", first, 0, total, 7, how.get("fragment", 0), 64, protocol, 0)
    return head + ip_address(how.get("src", A4)).packed + ip_address(how.get("dst", B4)).packed + options + payload


def ipv6(following: int, payload: bytes, size: int | None = None, first: int = 0x60) -> bytes:
    head = struct.pack("!BBHHBB", first, 0, 0, len(payload) if size is None else size, following, 64)
    return head + ip_address(A6).packed + ip_address(B6).packed + payload


def tcp(source: int = 40000, target: int = 23, offset: int = 5) -> bytes:
    return struct.pack("!HHIIBBHHH", source, target, 1, 0, offset << 4, 2, 1024, 0, 0)


def udp(source: int = 50000, target: int = 50001, size: int = 12) -> bytes:
    return struct.pack("!HHHH", source, target, size, 0) + b"data"


def icmp(kind: int, payload: bytes = b"", code: int = 0) -> bytes:
    return struct.pack("!BBHI", kind, code, 0, 0) + payload


def arp(**how) -> bytes:
    hardware, protocol = how.get("sizes", (6, 4))
    head = struct.pack("!HHBBH", how.get("hardware", 1), how.get("protocol", 0x0800), hardware, protocol, how.get("opcode", 1))
    sender, target = bytes(range(1, hardware + 1)), bytes(hardware)
    return (
        head
        + sender
        + ip_address(A4).packed.ljust(protocol, b"\1")[:protocol]
        + target
        + bytes([10, 0, 0, 9]).ljust(protocol, b"\2")[:protocol]
    )


def gre(kind: int, payload: bytes, flags: int = 0, options: bytes = b"") -> bytes:
    return struct.pack("!HH", flags, kind) + options + payload


def chain(*headers: tuple[int, bytes]) -> bytes:
    """IPv6 with extension headers: (protocol number, what follows the next-header byte)."""
    body, following = b"", 59
    for number, rest in reversed(headers):
        body = (rest if number in (6, 17, 58) else bytes([following]) + rest) + body
        following = number
    return ipv6(following, body)


PADDED = bytes([1, 4, 0, 0, 0, 0])  # PadN over the rest of an 8-byte options header
HOP, DESTINATION = (0, b"\0" + PADDED), (60, b"\0" + PADDED)
ROUTING = (43, b"\0" + bytes(6))
LONG_OPTIONS = (60, b"\1" + bytes([1, 12]) + bytes(12))
FIRST, LATER = (44, b"\0" + struct.pack("!HI", 1, 9)), (44, b"\0" + struct.pack("!HI", 1480, 9))
AUTHENTICATION = (51, b"\4\0\0" + bytes(20))
TCP, UDP = (6, tcp()), (17, udp())

QUOTED = ipv4(6, tcp(1111, 2222)[:8], total=40, src=B4, dst=A4)
QUOTED6 = ipv6(17, udp(3333, 4444))

FRAMES = {
    "tcp": ether(0x0800, ipv4(6, tcp() + b"x")),
    "udp": ether(0x0800, ipv4(17, udp())),
    "padded to 60": ether(0x0800, ipv4(17, udp())).ljust(60, b"\0"),
    "padding is not payload": ether(0x0800, ipv4(6, b"")).ljust(60, b"\7"),
    "udp-lite": ether(0x0800, ipv4(136, udp())),
    "sctp": ether(0x0800, ipv4(132, tcp())),
    "igmp": ether(0x0800, ipv4(2, bytes(8), options=b"\x94\4\0\0")),
    "options": ether(0x0800, ipv4(6, tcp(), options=b"\1" * 40)),
    "options beyond the end": ether(0x0800, ipv4(6, tcp(), first=0x4F, total=64)),
    "header of 16 bytes": ether(0x0800, ipv4(6, tcp(), first=0x44)),
    "version 5": ether(0x0800, ipv4(6, tcp(), first=0x55)),
    "total length 0": ether(0x0800, ipv4(6, tcp(), total=0)),
    "total length below header": ether(0x0800, ipv4(6, tcp(), total=19)),
    "total length is the header": ether(0x0800, ipv4(6, tcp(), total=20)),
    "total length ends in the ports": ether(0x0800, ipv4(6, tcp(), total=23)),
    "total length beyond the frame": ether(0x0800, ipv4(17, udp(), total=1500)),
    "first fragment": ether(0x0800, ipv4(17, udp(size=3000), fragment=0x2000)),
    "later fragment": ether(0x0800, ipv4(17, udp(), fragment=0x2010)),
    "last fragment": ether(0x0800, ipv4(6, tcp(), fragment=0x0020)),
    "later fragment of icmp": ether(0x0800, ipv4(1, icmp(8), fragment=0x0020)),
    "tcp offset 4": ether(0x0800, ipv4(6, tcp(offset=4))),
    "udp length 7": ether(0x0800, ipv4(17, udp(size=7))),
    "udp length 0": ether(0x0800, ipv4(17, udp(size=0))),
    "authenticated": ether(0x0800, ipv4(51, b"\6\4\0\0" + bytes(20) + tcp())),
    "echo": ether(0x0800, ipv4(1, icmp(8, b"data"))),
    "unreachable": ether(0x0800, ipv4(1, icmp(3, QUOTED, 1))),
    "source quench": ether(0x0800, ipv4(1, icmp(4, QUOTED))),
    "redirect": ether(0x0800, ipv4(1, icmp(5, QUOTED, 1))),
    "time exceeded": ether(0x0800, ipv4(1, icmp(11, QUOTED))),
    "parameter problem": ether(0x0800, ipv4(1, icmp(12, QUOTED))),
    "error about udp": ether(0x0800, ipv4(1, icmp(3, ipv4(17, udp(), options=b"\1" * 8), 3))),
    "error about an echo": ether(0x0800, ipv4(1, icmp(3, ipv4(1, icmp(8)), 1))),
    "error about a fragment": ether(0x0800, ipv4(1, icmp(11, ipv4(17, udp(), fragment=0x20)))),
    "error about an error": ether(0x0800, ipv4(1, icmp(3, ipv4(1, icmp(11, QUOTED)), 1))),
    "error without a quote": ether(0x0800, ipv4(1, icmp(3))),
    "error about nonsense": ether(0x0800, ipv4(1, icmp(3, b"\x4f" + bytes(30)))),
    "arp request": ether(0x0806, arp()),
    "arp reply, padded": ether(0x0806, arp(opcode=2)).ljust(60, b"\0"),
    "arp of another protocol": ether(0x0806, arp(protocol=0x86DD, sizes=(6, 16))),
    "arp with long hardware addresses": ether(0x0806, arp(hardware=6, sizes=(8, 4))),
    "arp with protocol length 6": ether(0x0806, arp(sizes=(6, 6))),
    "arp without addresses": ether(0x0806, arp(sizes=(0, 0))),
    "reverse arp": ether(0x8035, arp(opcode=3)),
    "802.1Q": ether(0x0800, ipv4(6, tcp()), ((0x8100, 5),)),
    "802.1ad": ether(0x0800, ipv4(17, udp()), ((0x88A8, 100),)),
    "802.1ad and 802.1Q": ether(0x86DD, chain(TCP), ((0x88A8, 100), (0x8100, 5))),
    "0x9100 and 802.1Q": ether(0x0806, arp(), ((0x9100, 7), (0x8100, 5))),
    "three tags": ether(0x0800, ipv4(6, tcp()), ((0x8100, 1), (0x8100, 2), (0x8100, 3))),
    "tagged llc": ether(8, b"\x42\x42\3" + bytes(5), ((0x8100, 5),)),
    "spanning tree": llc(b"\x42\x42\3" + bytes(35)).ljust(60, b"\0"),
    "snap ip": llc(b"\xaa\xaa\3\0\0\0\x08\0" + ipv4(6, tcp())),
    "snap arp": llc(b"\xaa\xaa\3\0\0\0\x08\6" + arp()).ljust(64, b"\0"),
    "snap of cisco": llc(b"\xaa\xaa\3\0\0\x0c\x20\0" + bytes(20)),
    "802.3 length ends in the ip header": llc(b"\xaa\xaa\3\0\0\0\x08\0" + ipv4(6, tcp()), 20),
    "802.3 length beyond the frame": llc(b"\xaa\xaa\3\0\0\0\x08\0" + ipv4(6, tcp()), 1000),
    "ethertype 1501": ether(1501, ipv4(6, tcp())),
    "ethernet loopback": ether(0x9000, bytes(46)),
    "lldp": ether(0x88CC, b"\2\7\4" + bytes(6) + bytes(20)),
    "ipv6 tcp": ether(0x86DD, chain(TCP)),
    "ipv6 udp": ether(0x86DD, chain(UDP)),
    "ipv6 hop-by-hop": ether(0x86DD, chain(HOP, UDP)),
    "ipv6 all extensions": ether(0x86DD, chain(HOP, DESTINATION, ROUTING, FIRST, AUTHENTICATION, LONG_OPTIONS, TCP)),
    "ipv6 later fragment": ether(0x86DD, chain(HOP, LATER, TCP)),
    "ipv6 no next header": ether(0x86DD, ipv6(59, tcp())),
    "ipv6 encrypted": ether(0x86DD, ipv6(50, bytes(30))),
    "ipv6 payload length 0": ether(0x86DD, ipv6(6, tcp(), 0)),
    "ipv6 jumbogram": ether(0x86DD, ipv6(0, b"\6\0\xc2\4\0\1\0\0" + tcp(), 0)),
    "ipv6 header of version 4": ether(0x86DD, ipv6(6, tcp(), first=0x45)),
    "ipv6 header of version 5": ether(0x86DD, ipv6(6, tcp(), first=0x50)),
    "ipv6 in an ipv4 ethertype": ether(0x0800, chain(TCP)),
    "ipv4 in an ipv6 ethertype": ether(0x86DD, ipv4(6, tcp() * 2)),
    "ipv6 mobility": ether(0x86DD, ipv6(135, bytes([6, 0, 1, 0, 0, 0, 0, 0]) + tcp())),
    "ipv6 shim6": ether(0x86DD, ipv6(140, bytes([6, 0, 0x80, 0, 0, 0, 0, 0]) + tcp())),
    "ipv6 host identity": ether(0x86DD, ipv6(139, bytes([6, 4, 1, 0x11]) + bytes(36) + tcp())),
    "ipv6 redirect": ether(0x86DD, ipv6(58, icmp(137, bytes(32) + b"\4\7" + bytes(6) + QUOTED6))),
    "ipv6 udp-lite": ether(0x86DD, ipv6(136, udp())),
    "ipv6 with icmp of ipv4": ether(0x86DD, ipv6(1, icmp(8, b"data"))),
    "icmp of ipv6 in ipv4": ether(0x0800, ipv4(58, icmp(1, QUOTED6))),
    "hop-by-hop in ipv4": ether(0x0800, ipv4(0, b"\6\0" + PADDED + tcp())),
    "ipv6 error about nonsense": ether(0x86DD, ipv6(58, icmp(1, ipv4(17, udp()) * 3))),
    "error about ipv6": ether(0x0800, ipv4(1, icmp(3, QUOTED6))),
    "ip in ip of ipv6": ether(0x0800, ipv4(4, chain(UDP))),
    "ipv6 in ip of ipv4": ether(0x0800, ipv4(41, ipv4(17, udp()) * 3)),
    "gre version 1": ether(0x0800, ipv4(47, gre(0x0800, bytes(4) + ipv4(17, udp()), 0x2001))),
    "gre source route": ether(0x0800, ipv4(47, gre(0x0800, bytes(4) + b"\x08\0\0\4" + bytes(8) + ipv4(17, udp()), 0x4000))),
    "ipv6 payload ends in the ports": ether(0x86DD, ipv6(6, tcp(), 3)),
    "ipv6 payload beyond the frame": ether(0x86DD, ipv6(17, udp(), 1400)),
    "ipv6 extension beyond the end": ether(0x86DD, ipv6(60, bytes([6, 200]) + bytes(40))),
    "ipv6 echo": ether(0x86DD, ipv6(58, icmp(128, b"data"))),
    "ipv6 neighbour": ether(0x86DD, ipv6(58, icmp(135, ip_address(B6).packed + b"\1\1" + SRC))),
    "ipv6 unreachable": ether(0x86DD, ipv6(58, icmp(1, QUOTED6))),
    "ipv6 too big": ether(0x86DD, ipv6(58, icmp(2, chain(HOP, FIRST, TCP)))),
    "ipv6 time exceeded": ether(0x86DD, ipv6(58, icmp(3, QUOTED6))),
    "ipv6 parameter problem": ether(0x86DD, ipv6(58, icmp(4, QUOTED6))),
    "ipv6 error about a fragment": ether(0x86DD, ipv6(58, icmp(3, chain(LATER, TCP)))),
    "ip in ip": ether(0x0800, ipv4(4, ipv4(6, tcp(), src="172.16.0.1"))),
    "ipv6 in ip": ether(0x0800, ipv4(41, chain(HOP, UDP))),
    "ip in ip in ip": ether(0x0800, ipv4(4, ipv4(4, ipv4(17, udp())))),
    "gre": ether(0x0800, ipv4(47, gre(0x0800, ipv4(6, tcp())))),
    "gre with options": ether(0x0800, ipv4(47, gre(0x0800, ipv4(6, tcp()), 0xB000, bytes(12)))),
    "gre of ipv6": ether(0x0800, ipv4(47, gre(0x86DD, chain(UDP), 0x2000, bytes(4)))),
    "gre of an echo": ether(0x0800, ipv4(47, gre(0x0800, ipv4(1, icmp(8))))),
    "gre of a fragment": ether(0x0800, ipv4(47, gre(0x0800, ipv4(17, udp(), fragment=0x30)))),
    "gre keepalive": ether(0x0800, ipv4(47, gre(0, b""))),
    "broadcast to itself": SRC + SRC + b"\x08\0" + ipv4(17, udp(), src=A4, dst=A4),
    "empty payload": ether(0x0800, b""),
}
