"""ovs-vswitchd's control socket, against a daemon that answers in pieces, refuses, hangs up or is not there."""

from __future__ import annotations

import json
import socket
import threading

import pytest

from lego_sdn.adapters.ovs import unixctl
from lego_sdn.core.facts.errors import HostError


@pytest.fixture
def daemon(tmp_path, monkeypatch):
    """`daemon(answer)`: the next question is answered with these pieces; the questions so far."""
    monkeypatch.setenv("OVS_RUNDIR", str(tmp_path))
    (tmp_path / "ovs-vswitchd.pid").write_text("7\n")
    asked, threads = [], []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "ovs-vswitchd.7.ctl"))
        server.listen()

        def answer(*pieces: bytes) -> list:
            def work() -> None:
                with server.accept()[0] as client:
                    asked.append(json.loads(client.recv(4096)))
                    for piece in pieces:
                        client.sendall(piece)

            threads.append(threading.Thread(target=work))
            threads[-1].start()
            return asked

        yield answer
    for thread in threads:
        thread.join(5)


def test_an_answer_may_come_in_pieces(daemon):
    asked = daemon(b'{"id":0,"result":"do', b'ne\\n","error":null}')
    assert unixctl.ask("revalidator/wait", "a") == "done\n"
    assert asked == [{"id": 0, "method": "revalidator/wait", "params": ["a"]}]


def test_a_refusal_is_the_daemon_s_own_sentence(daemon):
    daemon(b'{"id":0,"result":null,"error":"can\'t wait on multiple udpifs.\\n"}')
    with pytest.raises(unixctl.UnixctlRefused, match=r"refuses revalidator/wait: can't wait on multiple udpifs\."):
        unixctl.ask("revalidator/wait")


def test_a_daemon_that_hangs_up_or_says_nothing(daemon):
    daemon(b'{"id":0')
    with pytest.raises(HostError, match="does not answer version"):
        unixctl.ask("version")
    with pytest.raises(HostError, match="does not answer version"):
        unixctl.ask("version", timeout_s=0.05)


def test_no_daemon(tmp_path, monkeypatch):
    monkeypatch.setenv("OVS_RUNDIR", str(tmp_path))
    with pytest.raises(HostError, match="is Open vSwitch running"):
        unixctl.ask("version")
