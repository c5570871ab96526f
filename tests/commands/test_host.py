"""`lego agent`, `up` and `down` as commands: what they refuse, in one sentence and with exit code 2."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lego_sdn.adapters.rpc.calls import Client, Unreachable
from tests.examples import few_in_quick
from tests.fakes.host import ROOT, fake_host

LEGO = [sys.executable, "-m", "lego_sdn"]


def lego(*words, **env):
    done = subprocess.run([*LEGO, *words], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False, env=os.environ | env)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("command", ["agent", "up", "down"])
def test_help_says_what_it_does(command):
    code, text, _ = lego(command, "--help")
    assert code == 0
    assert "--config" in text
    assert "--run-dir" in text


@pytest.mark.slow
@pytest.mark.parametrize("command", few_in_quick(["up", "down"]))
def test_a_wrong_configuration(command, tmp_path):
    path = tmp_path / "lego.yaml"
    path.write_text("switch:\n  brigde: lego0\n")
    code, _, error = lego(command, "--config", str(path))
    assert code == 2
    assert error.startswith(f"lego: {path}:2: switch.brigde: wanted")
    assert error.count("\n") == 1
    code, _, error = lego(command, LEGO_CONFIG=str(tmp_path / "absent.yaml"))
    assert code == 2
    assert "absent.yaml" in error


@pytest.mark.root
def test_a_folder_that_cannot_be_used(tmp_path):
    os.chmod(tmp_path, 0o777)
    for command in ("agent", "up"):
        code, _, error = lego(command, "--run-dir", str(tmp_path))
        assert (code, error.count("\n")) == (2, 1)
        assert error.startswith(f"lego: run_dir {tmp_path} is writable by others")
    code, _, error = lego("agent", "--owner", "nobody-of-this-name")
    assert (code, error) == (
        2,
        "lego: there is no user 'nobody-of-this-name' on this host: give --owner the name or number of one who exists\n",
    )


@pytest.mark.root
@pytest.mark.parametrize(
    "words", [["up", "--run-dir"], ["agent", "--run-dir"], ["agent", "--run-dir", "RUN", "--scores"], ["run", "--keep"]]
)
def test_a_folder_of_another_users_is_refused_and_nothing_is_made_in_it(tmp_path, words):
    theirs, run_dir = tmp_path / "theirs", str(tmp_path / "run")
    theirs.mkdir()
    os.chown(theirs, 65534, -1)
    code, _, error = lego(*(run_dir if word == "RUN" else word for word in words), str(theirs / "a" / "b"))
    assert (code, error.count("\n")) == (2, 1)
    assert error.startswith(f"lego: {theirs} belongs to user 65534")
    assert list(theirs.iterdir()) == []


READS = "+dac_read_search"  # this Python may lie in a folder of root's
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", f"--inh-caps={READS}", f"--ambient-caps={READS}"]
CONTAINED = ["setpriv", "--bounding-set=-net_admin,-sys_admin", "--inh-caps=-net_admin,-sys_admin"]


@pytest.mark.root
@pytest.mark.parametrize("command", ["agent", "up", "run"])
@pytest.mark.parametrize(
    ("drop", "sentence"),
    [
        (NOBODY, "the agent makes network namespaces and switch ports and needs root: run it with sudo"),
        (CONTAINED, "and root may not do so here (CAP_NET_ADMIN and CAP_SYS_ADMIN missing): run it outside the container"),
    ],
)
def test_without_the_rights(tmp_path, drop, sentence, command):
    where = ["--keep" if command == "run" else "--run-dir", str(tmp_path / "new")]
    done = subprocess.run([*drop, *LEGO, command, *where], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert done.stderr.startswith("lego: ")
    assert sentence in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.root
def test_down_without_anything(tmp_path):
    assert lego("down", "--run-dir", str(tmp_path)) == (0, f"nothing of LEGO runs with run_dir {tmp_path}\n", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.root
def test_the_agent_alone_and_down_after_it_was_killed():
    """`lego agent` with the options of a controller without root; killed, `lego down` removes what it made."""
    with fake_host() as host:
        path = host.folder / "lego.yaml"
        path.write_text(f"switch: {{bridge: {host.bridge}, openflow_port: 9}}\n")
        words = [
            "--config",
            str(path),
            "--run-dir",
            str(host.folder),
            "--owner",
            "nobody",
            "--scores",
            str(host.folder / "scores"),
            "--verbose",
        ]
        with open(host.folder / "agent.log", "wb") as log:
            host.child = subprocess.Popen([*LEGO, "agent", *words], cwd=ROOT, stdout=log, stderr=log)
        with Client(str(host.folder / "agent.sock")) as agent:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                try:
                    hello = agent.call("hello")
                    break
                except Unreachable:
                    assert host.child.poll() is None, host.log()
                    time.sleep(0.02)
        assert hello["bridge"] == host.bridge
        assert Path(host.folder, "agent.sock").stat().st_uid == 65534
        host.end(9)
        code, text, error = lego("down", *words[:4])
        assert (code, error) == (0, "")
        assert f"ended bridge {host.bridge}\n" in text
        assert host.left(hello["run"]) == []
