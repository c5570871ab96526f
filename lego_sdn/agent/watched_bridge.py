"""Watches whether the bridge has been removed or made anew."""

from __future__ import annotations

import time

from lego_sdn.adapters.linux import netns
from lego_sdn.adapters.ovs.vsctl import Ovs
from lego_sdn.core.facts.errors import HostError

AGAIN_S = 2.0  # between two questions to Open vSwitch


class WatchedBridge:
    """Looks at the bridge's own interface, which costs nothing, and asks Open vSwitch only where that is gone or another one."""

    def __init__(self, ovs: Ovs, name: str) -> None:
        self.ovs, self.name = ovs, name
        self.identity, self._index, self._asked = ovs.identity(name), netns.index_of(name), 0.0

    def is_another_one(self) -> bool:
        """Whether it was removed, or made anew, since the last time. An Open vSwitch that does not run says nothing about it."""
        index, now = netns.index_of(self.name), time.monotonic()
        if (index is not None and index == self._index) or now - self._asked < AGAIN_S:
            return False
        self._asked = now
        try:
            if not self.ovs.is_running():
                return False
            identity = self.ovs.identity(self.name)
        except HostError:
            return False
        another, self.identity, self._index = identity != self.identity, identity, index
        return another
