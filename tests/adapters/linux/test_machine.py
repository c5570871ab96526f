"""What the kernel says of this machine."""

from __future__ import annotations

import os

import pytest

from lego_sdn.adapters.linux.machine import cores, memory
from lego_sdn.core.facts.errors import HostError


def test_this_machine_has_memory_and_cores():
    told = memory()
    assert 0 < told["free_bytes"] < told["memory_bytes"]
    assert told["memory_bytes"] == pytest.approx(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), rel=0.05)
    assert 1 <= cores() <= os.cpu_count()


@pytest.mark.parametrize("text", ["", "MemTotal: 5 kB\n", "MemTotal: many kB\nMemAvailable: 1 kB\n"])
def test_what_the_kernel_does_not_say_is_an_error(tmp_path, text):
    path = tmp_path / "meminfo"
    path.write_text(text)
    with pytest.raises(HostError, match="meminfo does not say how much memory there is"):
        memory(path)
    with pytest.raises(HostError, match="nothing does not say"):
        memory(tmp_path / "nothing")
