"""What it takes to hand a batch on: over a ring to another process of the host, over TCP to another host."""

from __future__ import annotations

import socket
import time

import numpy as np

from bricks.records.packets import PACKET
from lego_sdn.core.cost.measurements import fit
from lego_sdn.core.cost.model import Carriage
from lego_sdn.profile import ring_hop

WIDTHS = (0, 115)  # values of a row: the smallest batch that there is between bricks, and the largest
BATCHES = 400


def sizes() -> dict[int, int]:
    """Bytes of a full batch, by the width of its rows."""
    return {width: ring_hop.BATCH * (PACKET.itemsize + 8 * width) for width in WIDTHS}


def over_ring(runs: int) -> Carriage:
    """CPU of both sides."""
    found = {size: [_ring_us(width) for _ in range(runs)] for width, size in sizes().items()}
    return Carriage(*fit([(size, float(np.median(us))) for size, us in found.items()]))


def _ring_us(width: int) -> float:
    crossed = ring_hop.cross(BATCHES, width)
    return 1e6 * (crossed.writer + crossed.reader) / BATCHES


def over_wire(runs: int) -> Carriage:
    """CPU of both sides and of the kernel between them, over loopback: a network card's driver comes on top."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as near:
        far, _ = server.accept()
        with far:
            near.setblocking(False)
            found = {size: [_wire_us(near, far, size) for _ in range(runs)] for size in sizes().values()}
    return Carriage(*fit([(size, float(np.median(us))) for size, us in found.items()]))


def _wire_us(near: socket.socket, far: socket.socket, size: int) -> float:
    data, room = memoryview(bytes(size)), memoryview(bytearray(size))
    began = time.process_time()
    for _ in range(BATCHES):
        sent = got = 0
        while got < size:
            if sent < size:
                sent += _send(near, data[sent:])
            got += far.recv_into(room[got:])
    return 1e6 * (time.process_time() - began) / BATCHES


def _send(near: socket.socket, data: memoryview) -> int:
    """Bytes that there was room for; what was sent before is taken next, so that there is room again."""
    try:
        return near.send(data)
    except BlockingIOError:
        return 0
