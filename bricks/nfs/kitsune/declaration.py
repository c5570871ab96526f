"""What Kitsune's feature extractor declares of its statistics, for both layouts: who writes each stream and who reads it.

Granularity, shadows and exactness are derived from this by `lego_sdn.core.nf.granularity`. Feature names are in column order.
"""

from __future__ import annotations

from collections.abc import Mapping

from lego_sdn.core.facts.headers import SOCKET, SRC_IP, SRC_IP_DST_IP, SRC_IP_SRC_PORT, SRC_MAC_SRC_IP, HeaderGroup
from lego_sdn.core.nf.granularity import Assumption, Extractor, Feature, Read, Statistic

LAMBDAS = ("5", "3", "1", "0.1", "0.01")

ONE_MAC = Assumption("one-mac-per-address", "every address has one MAC", ((("src_ip", "src_mac"), ("dst_ip", "dst_mac")),))


def _features(name: str, kinds: Mapping[str, tuple[Read, ...]]) -> tuple[Feature, ...]:
    """One feature per lambda and kind, lambda-major."""
    return tuple(Feature(f"{name}_L{lam}_{kind}", reads) for lam in LAMBDAS for kind, reads in kinds.items())


def _one(name: str, group: HeaderGroup, own: Read, **kinds: tuple[Read, ...]) -> Statistic:
    """A series of one value: weight, mean, variance of the reader's own stream, and more `kinds`."""
    return Statistic(name, group, _features(name, {"weight": (own,), "mean": (own,), "variance": (own,), **kinds}))


# ---- kitsune115: streams by channel, read against the reverse channel ----
def _two(name: str, group: HeaderGroup) -> tuple[Statistic, Statistic]:
    """A channel's streams, and the pairs of opposite channels, which packets of both directions write."""
    opposite = {"src_ip": "dst_ip", "src_port": "dst_port", "dst_ip": "src_ip", "dst_port": "src_port"}
    reverse_links = frozenset((field, opposite[field]) for field in group.fields)
    pairs = f"{name} pairs"
    mine, reverse = Read.same(name, *group.fields), Read(name, reverse_links)
    pair = (Read.same(pairs, *group.fields), Read(pairs, reverse_links))
    kinds = {
        "weight": (mine,),
        "mean": (mine,),
        "std": (mine,),
        "magnitude": (mine, reverse),
        "radius": (mine, reverse),
        "covariance": (mine, reverse, *pair),
        "pcc": (mine, reverse, *pair),
    }
    return Statistic(name, group, _features(name, kinds)), Statistic(pairs, group, updates=(mine, reverse))


KITSUNE115 = Extractor(
    "kitsune115",
    (
        _one("MI_dir", SRC_MAC_SRC_IP, Read.same("MI_dir", "src_mac", "src_ip")),
        _one("H", SRC_IP, Read.same("H", "src_ip")),
        *_two("HH", SRC_IP_DST_IP),
        _one("HH_jit", SRC_IP_DST_IP, Read.same("HH_jit", "src_ip", "dst_ip")),
        *_two("HpHp", SOCKET),
    ),
    (ONE_MAC,),
)

# ---- kitsunepy100: streams by sender alone; every packet of a sender updates all its pairs ----
DISTINCT_KEYS = Assumption(
    "distinct-keys",
    "no two keys glued from texts are equal by chance, and every sender of ARP has one address",
    (
        (("src_socket_text", "src_ip"), ("dst_socket_text", "dst_ip")),
        (("src_socket_text", "src_port"), ("dst_socket_text", "dst_port")),
        (("channel_text", "src_ip"),),
        (("channel_text", "dst_ip"),),
    ),
)


def _sender(name: str, group: HeaderGroup, key: str) -> tuple[Statistic, Statistic]:
    """Streams keyed by the sender's `key`, read against the stream of whatever the receiver sends, to anyone.

    A packet fades the streams of all its sender's peers to its own time, which changes them by rounding; who the peers are, no
    header tells. A pair of senders is written by every packet of either.
    """
    pairs = f"{name} pairs"
    mine, peer = Read.same(name, f"src_{key}"), Read(name, frozenset({(f"dst_{key}", f"src_{key}")}))
    faded = Read(name, frozenset(), rounding=True)
    pair = (Read.same(pairs, f"src_{key}"), Read(pairs, frozenset({(f"dst_{key}", f"src_{key}")})))
    one, both = (mine, faded), (mine, faded, peer)
    kinds = {"weight": one, "mean": one, "variance": one, "radius": both, "magnitude": both}
    kinds |= {"covariance": (*both, *pair), "pcc": (*both, *pair)}
    return Statistic(name, group, _features(name, kinds)), Statistic(pairs, group, updates=(mine, faded))


KITSUNEPY100 = Extractor(
    "kitsunepy100",
    (
        _one("MI", SRC_MAC_SRC_IP, Read.same("MI", "src_mac", "src_ip")),
        *_sender("HH", SRC_IP, "ip"),
        _one("HH_jit", SRC_IP_DST_IP, Read.same("HH_jit", "channel_text")),
        *_sender("HpHp", SRC_IP_SRC_PORT, "socket_text"),
    ),
    (ONE_MAC, DISTINCT_KEYS),
)

EXTRACTORS = {extractor.name: extractor for extractor in (KITSUNE115, KITSUNEPY100)}
