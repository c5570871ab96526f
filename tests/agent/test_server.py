"""The agent on this host: what it starts, what it says when something is wrong, and that nothing of it is left behind."""

from __future__ import annotations

import itertools
import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bricks.transport.ring_place import make_parent, place_of
from lego_sdn.adapters.linux import netns, processes
from lego_sdn.adapters.linux.processes import Process
from lego_sdn.adapters.ovs.vsctl import Bridge
from lego_sdn.adapters.rpc.calls import Client, PeerError
from lego_sdn.agent.options import AgentOptions, make_run_dir, require_root, require_scores_below
from lego_sdn.core.facts.config import Config
from lego_sdn.core.facts.errors import HostError
from tests.fakes.host import fake_host

NETWORK = "unsupervised-network"


@pytest.fixture
def host():
    with fake_host() as host:
        yield host


def load(process: dict) -> dict:
    with Client(process["socket"]) as client:
        return client.call("load")


def as_nobody(code: str) -> str:
    """The last line of what Python says to that as a user without rights."""
    drop = "import os, socket; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    done = subprocess.run([sys.executable, "-c", drop + code], capture_output=True, text=True, cwd="/", timeout=30, check=False)
    return done.stderr.strip().rpartition("\n")[2]


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().split()[3])


def wait_for(fact, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)


@pytest.mark.root
def test_an_instance_in_one_process(host):
    agent = host.start()
    hello = agent.call("hello")
    assert (hello["bridge"], hello["datapath"], hello["instances"]) == (host.bridge, "netdev", [])
    one = agent.call("start_instance", {"instance": 1, "model": host.model(), "cpu_quota": 0.5, "scores": str(host.folder)})
    assert (one["namespace"], one["port"], one["interface"], one["state"]) == (f"{host.prefix}1", f"{host.prefix}1", "in0", "running")
    assert one["ofport"] > 0
    (process,) = one["processes"]
    assert stat.S_IMODE(os.stat(process["socket"]).st_mode) == 0o600
    told = load(process)
    assert told["links"] == ["in0", "lo"], "the process is in its namespace"
    assert told["spec"]["interface"] == "in0"
    assert told["spec"]["scores"] == f"{host.folder}/1-a.scores"
    (cgroup, *_) = told["spec"]["cgroup"]
    assert Path(cgroup, "cgroup.procs").read_text().split() == [str(process["pid"])]
    assert agent.call("start_instance", one["spec"]) == one, "asked twice, it is there once"
    with pytest.raises(PeerError, match="instance 1 exists already"):
        agent.call("start_instance", one["spec"] | {"batch": 7})
    assert agent.call("set_quota", 1, {"1-a": 0.25})["processes"][0]["cpu_quota"] == 0.25
    assert agent.call("instances")[0]["cpu_quota"] == 0.5, "what a new process would get"
    assert agent.call("set_quota", 1, None)["processes"][0]["cpu_quota"] is None
    assert agent.call("set_deadlines", 1, {NETWORK: 3.5})["deadlines"] == {NETWORK: 3.5}
    assert load(process)["calls"] == [["deadlines", {NETWORK: 3.5}]]
    assert agent.call("instances")[0]["cpu_quota"] is None
    assert agent.call("flush_cache") > 0
    (report,) = agent.call("stop_instance", 1, 100)["reports"]
    assert report["calls"][1:] == [["drain"]]
    assert agent.call("instances") == []
    assert agent.call("stop_instance", 1, 100) == {"reports": []}, "whoever wants it gone has what they want"
    assert host.left(hello["run"]) != [], "the bridge and the sockets of the agent are still there"
    assert agent.call("shutdown") is True
    assert host.child.wait(20) == 0
    assert host.left(hello["run"]) == []


@pytest.mark.root
def test_bricks_in_processes_of_their_own_and_replicas(host):
    agent = host.start()
    run = agent.call("hello")["run"]
    one = agent.call("start_instance", {"instance": 3, "model": host.model(), "placement": "separate"})
    names = [process["process"] for process in one["processes"]]
    assert names == ["3-a", "3-b", "3-c", "3-d", "3-e"]
    specs = [load(process)["spec"] for process in one["processes"]]
    assert [spec["interface"] for spec in specs] == ["in0", None, None, None, None]
    for before, after in itertools.pairwise(specs):
        assert before["rings_out"] == {before["bricks"][0]: after["rings_in"]}
    added = agent.call("start_replica", 3, NETWORK)
    assert added["brick"] == f"{NETWORK}-1"
    fresh = load(added["process"])["spec"]
    assert load(one["processes"][4])["calls"] == [
        ["inputs", {"sample-result-0": specs[4]["rings_in"] + fresh["rings_out"][f"{NETWORK}-1"]}]
    ]
    assert load(one["processes"][2])["calls"] == [["routes", {"feature-mapping-0": specs[3]["rings_in"] + fresh["rings_in"]}]]
    assert len(agent.call("instances")[0]["processes"]) == 6
    assert agent.call("stop_replica", 3, f"{NETWORK}-1")["report"]["calls"] == [["drain"]]
    assert load(one["processes"][2])["calls"][1:] == [["routes", {"feature-mapping-0": specs[3]["rings_in"]}]]
    assert load(one["processes"][4])["calls"][1:] == [["inputs", {"sample-result-0": specs[4]["rings_in"]}]]
    wait_for(lambda: Process.of(added["process"]["pid"]) is None)
    for call, sentence in (
        (("start_replica", 3, "packet-batching"), "stays single in an instance"),
        (("stop_replica", 3, f"{NETWORK}-0"), "is the only"),
        (("start_replica", 9, NETWORK), "there is no instance 9 here; running: 3"),
        (("set_quota", 9, None), "there is no instance 9"),
        (("set_quota", 3, {"3-a": 0.2, "3-x": 1}), "instance 3 has no process 3-x; it has 3-a, "),
        (("set_quota", 3, {"3-a": 0}), "cpu_quota: wanted cores, from 0.01 to 1024, or null, found 0"),
        (("start_replica", 3, NETWORK, "all"), "cpu_quota: wanted cores"),
        (("set_deadlines", 3, {"x": 1}), "deadlines: wanted milliseconds for kinds of bricks"),
        (("set_deadlines", 3, 7), "deadlines: wanted milliseconds"),
    ):
        with pytest.raises(PeerError, match=sentence):
            agent.call(*call)
    assert host.end() == 0
    assert host.left(run) == []


@pytest.mark.root
@pytest.mark.parametrize("known", [True, False])
def test_nobody_waits_for_a_process_that_is_known_not_to_answer(host, known):
    """Told of by the controller, or stopped by a signal, as the agent sees for itself; the others give their last reports."""
    agent = host.start()
    one = agent.call("start_instance", {"instance": 1, "model": host.model(), "placement": "separate"})
    hung = one["processes"][2]
    if not known:
        os.kill(hung["pid"], signal.SIGSTOP)
    began = time.monotonic()
    reports = agent.call("stop_instance", 1, 0, *([[hung["process"]]] if known else []))["reports"]
    assert time.monotonic() - began < 3.0, "the agent is there for others"
    assert len(reports) == 4
    assert Process.of(hung["pid"]) is None
    assert agent.call("instances") == []


@pytest.mark.root
def test_an_agent_that_ends_by_an_error_takes_nothing_down(host):
    """It comes back with its socket's name taken: its start fails, and what runs is left to the one after it."""
    agent = host.start()
    one = agent.call("start_instance", {"instance": 1, "model": host.model()})
    host.end(signal.SIGKILL)
    (host.folder / "agent.sock").unlink()
    (host.folder / "agent.sock").mkdir()
    host.begin()
    assert host.child.wait(60) != 0
    assert Process.of(one["processes"][0]["pid"]) is not None
    assert netns.exists(one["namespace"])
    (host.folder / "agent.sock").rmdir()
    assert host.start().call("instances")[0]["processes"] == one["processes"]


@pytest.mark.root
def test_a_process_that_dies(host):
    """Killed, it makes the instance `failed` with a sentence; dying at its start, nothing of the instance is left."""
    agent = host.start()
    one = agent.call("start_instance", {"instance": 1, "model": host.model(), "placement": "separate"})
    os.kill(one["processes"][3]["pid"], signal.SIGKILL)
    wait_for(lambda: agent.call("instances")[0]["state"] == "failed")
    assert "brick process 1-d was ended by SIGKILL" in agent.call("instances")[0]["error"]
    assert len(agent.call("stop_instance", 1, 50)["reports"]) == 4, "of those that live"
    before = host.left()
    for orders, placement in ((("die",), "chained"), (("die-2-e",), "separate")):
        with pytest.raises(PeerError, match=r"brick process 2-[ae] ended with status 1: ValueError: the weights are rotten \(see .*log\)"):
            agent.call("start_instance", {"instance": 2, "model": host.model(*orders), "placement": placement})
        assert host.left() == before
    assert agent.call("instances") == []


@pytest.mark.root
def test_a_link_that_is_switched_off_is_counted_and_on_again(host):
    agent = host.start()
    one = agent.call("start_instance", {"instance": 1, "model": host.model()})
    assert one["link_downs"] == 0
    with netns.inside(one["namespace"]):
        for state in ("down", "up", "down"):
            subprocess.run(["ip", "link", "set", one["interface"], state], check=True)
    wait_for(lambda: netns.is_up(one["port"]))
    wait_for(lambda: agent.call("instances")[0]["link_downs"] == 2)


@pytest.mark.root
def test_a_replica_that_does_not_answer_is_taken_out_and_nothing_else(host):
    agent = host.start()
    agent.call("start_instance", {"instance": 1, "model": host.model(), "placement": "separate"})
    added = agent.call("start_replica", 1, NETWORK)["process"]
    os.kill(added["pid"], signal.SIGSTOP)
    for process, sentence in (("1-a", "packet-batching-0 is the only packet-batching"), ("1-x", "instance 1 has no process 1-x")):
        with pytest.raises(PeerError, match=sentence):
            agent.call("take_out", 1, process)
    told = agent.call("take_out", 1, added["process"])
    assert Process.of(added["pid"]) is None
    assert (told["state"], told["buried"]) == ("running", ["brick process 1-f did not answer and was ended"])
    assert [process["process"] for process in told["processes"]] == ["1-a", "1-b", "1-c", "1-d", "1-e"]
    with pytest.raises(PeerError, match=f"{NETWORK}-0 is the only {NETWORK} of instance 1"):
        agent.call("take_out", 1, "1-d")
    assert agent.call("instances") == [told]


@pytest.mark.root
def test_a_replica_that_dies_at_its_start_leaves_the_instance_as_it_was(host):
    agent = host.start()
    one = agent.call("start_instance", {"instance": 1, "model": host.model("die-1-f"), "placement": "separate"})
    with pytest.raises(PeerError, match="brick process 1-f ended with status 1: ValueError: the weights are rotten"):
        agent.call("start_replica", 1, NETWORK)
    assert agent.call("instances") == [one]
    assert load(one["processes"][4])["calls"][-1] == ["inputs", {"sample-result-0": load(one["processes"][4])["spec"]["rings_in"]}]
    assert agent.call("start_replica", 1, NETWORK)["process"]["process"] == "1-g", "no name is used twice"


@pytest.mark.root
def test_what_is_wrong_is_said_and_leaves_nothing(host):
    agent = host.start()
    before = host.left()
    good = {"instance": 1, "model": host.model()}
    for wrong, sentence in (
        ({"model": "/nowhere"}, "there is none|found '/nowhere'"),
        ({"nf": "nothing"}, "there is no NF 'nothing'; there are doshi, kitsune"),
        ({"placement": "x"}, "placement: wanted one of chained, separate"),
        ({"size": 1}, "unknown key 'size'"),
        ({"slow_us": {"learning": 1}}, "slow_us: wanted kinds of bricks of kitsune .*, found 'learning'"),
        ({"scores": "/etc"}, f"scores: wanted a folder below {host.folder}, found '/etc'; --scores names another one"),
        ({"scores": f"{host.folder}/../scores"}, "scores: wanted a folder below"),
    ):
        with pytest.raises(PeerError, match=sentence):
            agent.call("start_instance", good | wrong)
    assert host.left() == before


@pytest.mark.root
def test_names_that_others_have_are_left_to_them(host):
    agent = host.start()
    name = f"{host.prefix}1"
    netns.create(name)
    try:
        with pytest.raises(PeerError, match=f"cannot create the network namespace {name}: that name is taken"):
            agent.call("start_instance", {"instance": 1, "model": host.model()})
        assert netns.exists(name)
        netns.add_veth(name, name, "in0")
        with pytest.raises(PeerError, match=f"an interface {name} exists that this agent did not make"):
            agent.call("start_instance", {"instance": 1, "model": host.model()})
        assert host.end() == 0
        assert netns.exists(name)
        assert netns.link_exists(name)
    finally:
        netns.remove_link(name)
        netns.remove(name)


@pytest.mark.root
def test_after_a_kill_the_next_start_removes_what_is_not_whole_and_nothing_of_the_users(host):
    agent = host.start()
    run = agent.call("hello")["run"]
    ones = [
        agent.call("start_instance", {"instance": 1, "model": host.model(), "cpu_quota": 0.5}),
        agent.call("start_instance", {"instance": 2, "model": host.model(), "placement": "separate"}),
    ]
    ring = place_of(f"lego-{run}-i2-r0")  # as the real bricks would
    make_parent(ring.name)
    ring.mkdir()
    (ring / "ring").write_text("x")
    user = f"{host.prefix}user"  # a namespace of the user's, with a name like LEGO's
    netns.create(user)
    try:
        assert host.end(signal.SIGKILL) == -signal.SIGKILL
        left = host.left(run)
        assert f"{host.prefix}1" in left
        assert str(ring.parent) in left
        assert len([what for what in left if what.startswith("process")]) >= 6
        for one in ones:
            os.kill(one["processes"][-1]["pid"], signal.SIGKILL)
        again = host.start()
        assert again.call("instances") == []
        warm = [f"process {one.pid}" for one in processes.marked(run) if parent_of(one.pid) == host.child.pid]
        assert len(warm) == 1, "the bridge is kept, so the next agent's own process carries the same mark"
        own = (host.bridge, *warm)
        assert [what for what in host.left(run) if what not in own and ".sock" not in what and ".journal" not in what] == [user]
        assert "removed what an earlier agent left: namespace" in host.log()
        again.call("start_instance", {"instance": 1, "model": host.model()})
    finally:
        netns.remove(user)


@pytest.mark.root
@pytest.mark.parametrize("milliseconds", [5, 40, 70])
def test_a_kill_in_the_middle_of_a_start(host, milliseconds):
    agent = host.start()
    run = agent.call("hello")["run"]
    with pytest.raises(Exception, match=r"did not answer|closed|cannot reach"):
        agent.call("start_instance", {"instance": 1, "model": host.model("mute"), "placement": "separate"}, timeout=milliseconds / 1e3)
    host.end(signal.SIGKILL)
    host.start()
    host.end()
    assert host.left(run) == []


@pytest.mark.root
def test_a_second_agent_and_one_that_was_stopped_while_it_started(host):
    host.start()
    first = host.child
    host.begin()
    assert host.child.wait(20) != 0
    assert "agent.journal is in use: another LEGO process runs with this run_dir" in host.log()
    assert first.poll() is None
    host.child = first
    assert host.end(signal.SIGINT) == 0
    host.begin()
    wait_for(lambda: (host.folder / "warm.sock").exists())
    assert host.end() == 0


@pytest.mark.root
def test_a_bridge_of_the_users_is_used_and_given_back(host):
    subprocess.run(["ovs-vsctl", "add-br", host.bridge, "--", "set", "Bridge", host.bridge, "datapath_type=netdev"], check=True)
    try:
        agent = host.start()
        agent.call("start_instance", {"instance": 1, "model": host.model()})
        assert host.end() == 0
        found = subprocess.run(
            ["ovs-vsctl", "get", "Bridge", host.bridge, "fail_mode", "controller"], capture_output=True, text=True, check=True
        )
        assert found.stdout.split() == ["[]", "[]"]
        assert host.left() == [host.bridge] * 3, "the bridge, its port and its interface"
    finally:
        subprocess.run(["ovs-vsctl", "--if-exists", "del-br", host.bridge], check=True)


@pytest.mark.root
def test_a_bridge_that_was_removed_is_made_again_also_where_nothing_runs(host):
    host.start()
    subprocess.run(["ovs-vsctl", "del-br", host.bridge], check=True)
    wait_for(lambda: subprocess.run(["ovs-vsctl", "br-exists", host.bridge], check=False).returncode == 0)
    assert host.end() == 0


@pytest.mark.root
def test_sockets_belong_to_the_user_of_the_controller():
    with fake_host(owner=65534) as host:
        agent = host.start()
        one = agent.call("start_instance", {"instance": 1, "model": host.model()})
        for path in (str(host.folder / "agent.sock"), one["processes"][0]["socket"]):
            assert os.stat(path).st_uid == 65534, path
            assert as_nobody(f"socket.socket(socket.AF_UNIX).connect({path!r})") == ""
        assert (os.stat(host.folder).st_uid, stat.S_IMODE(os.stat(host.folder).st_mode)) == (0, 0o711)
        journal = str(host.folder / "agent.journal")
        for deed in (f"os.listdir({str(host.folder)!r})", f"open({journal!r})", f"os.unlink({journal!r})", f"open({journal + 'x'!r}, 'w')"):
            assert "PermissionError" in as_nobody(deed), deed


@pytest.mark.root
def test_a_warm_process_that_died_is_started_again(host):
    agent = host.start()
    agent.call("start_instance", {"instance": 1, "model": host.model()})
    parents = {parent_of(one["pid"]) for one in agent.call("instances")[0]["processes"]}
    os.kill(parents.pop(), signal.SIGKILL)
    agent.call("start_instance", {"instance": 2, "model": host.model()})
    assert [one["state"] for one in agent.call("instances")] == ["running", "running"]


@pytest.mark.root
@pytest.mark.parametrize("placement", ["chained", "separate"])
def test_real_bricks(placement):
    """The real warm process: an instance, a replica of the learning network, and both gone again; no ring is left."""
    from bricks.models.model_file import save_model
    from bricks.nfs.kitsune.learn import blank_models

    with fake_host(warm="real") as host:
        agent = host.start()
        run = agent.call("hello")["run"]
        model = host.folder / "blank.lego"
        save_model(blank_models("kitsune115")[NETWORK], model)
        one = agent.call("start_instance", {"instance": 1, "model": str(model), "cpu_quota": 0.5, "placement": placement})
        assert load(one["processes"][0])["capture"]["received"] == 0
        added = agent.call("start_replica", 1, NETWORK)
        assert load(added["process"])["bricks"][0]["id"] == f"{NETWORK}-1"
        assert list(Path("/dev/shm").glob(f"lego-{run}*"))
        assert agent.call("stop_replica", 1, f"{NETWORK}-1")["report"]["bricks"][0]["queue_in"] == 0
        assert len(agent.call("stop_instance", 1, 500)["reports"]) == len(one["processes"])
        host.model("rotten")
        with pytest.raises(PeerError, match="brick process 2-a ended with status 1: ModelError"):
            agent.call("start_instance", {"instance": 2, "model": host.model("rotten")})
        agent.call("start_instance", {"instance": 3, "model": str(model), "placement": placement})
        host.end(signal.SIGKILL)  # bricks go on without an agent, until somebody clears up
        wait_for(lambda: not Path(f"/proc/{host.child.pid}").exists() or host.child.poll() is not None)
        host.start()
        host.end()
        assert host.left(run) == []


def test_names():
    def prefix(bridge):
        return AgentOptions.of(Config.parse({"switch": {"bridge": bridge}})).prefix

    assert prefix("lego0") == "lego"
    assert prefix("br0") == "br0-"
    assert len(prefix("a-bridge-with-x") + "999") == 15


def test_without_root():
    with pytest.raises(HostError, match="the agent makes network namespaces and switch ports and needs root: run it with sudo"):
        require_root(user=1000)


@pytest.mark.parametrize(
    ("bits", "said"),
    [(~(1 << 12), "(CAP_NET_ADMIN missing)"), (~(1 << 21), "(CAP_SYS_ADMIN missing)"), (0, "(CAP_NET_ADMIN and CAP_SYS_ADMIN missing)")],
)
def test_root_of_a_container_without_the_capabilities(bits, said):
    with pytest.raises(HostError, match=f"and root may not do so here {re.escape(said)}: run it outside the container"):
        require_root(user=0, held=bits & (1 << 41) - 1)


def test_scores_go_below_the_folders_of_the_agent(tmp_path):
    options = AgentOptions(tmp_path / "run", "s", Bridge("b", ""), scores=str(tmp_path / "scores"))
    for fits in (None, str(tmp_path / "scores"), str(tmp_path / "scores" / "1"), str(tmp_path / "run")):
        require_scores_below(fits, options)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "away").symlink_to("/etc")
    for wrong in ("", "scores/..", "scores2", "run/away", "run/away/x", "/etc"):
        with pytest.raises(HostError, match=r"scores: wanted a folder below .*/scores or .*/run, found"):
            require_scores_below(str(tmp_path / wrong), options)


def test_a_folder_that_others_can_write_into_is_refused(tmp_path):
    (tmp_path / "open").mkdir(mode=0o777)
    os.chmod(tmp_path / "open", 0o777)
    with pytest.raises(HostError, match="is writable by others"):
        make_run_dir(tmp_path / "open")
    make_run_dir(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match="/file cannot be opened: Not a directory"):
        make_run_dir(tmp_path / "file")


@pytest.mark.root
def test_a_folder_of_another_user_is_refused(tmp_path):
    (tmp_path / "theirs").mkdir(mode=0o700)
    os.chown(tmp_path / "theirs", 65534, -1)
    with pytest.raises(HostError, match=r"theirs belongs to user 65534: choose a folder of LEGO's own, or remove it"):
        make_run_dir(tmp_path / "theirs", 65534)
