"""`ryu-manager lego_sdn.app`, the plain command: with nothing around it, with wrong things around it, and where it listens."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import psutil
import pytest

from tests.examples import few_in_quick
from tests.ryu_apps.lab import MANAGER, ROOT, Lab, free_port, lab, until

# With an empty /run of its own, since the defaults name a folder there. Root without any capability may open files of root, and
# nothing else that needs root.
ALONE = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /run && exec setpriv --bounding-set=-all --inh-caps=-all "$@"', "sh"]
POWERLESS = ALONE if os.geteuid() == 0 else []


def end_of(*options: str, **environment: str) -> subprocess.CompletedProcess:
    """A controller that does not come up."""
    command = [MANAGER, "lego_sdn.app", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=ROOT, env=os.environ | environment, check=False)


def sentence(done: subprocess.CompletedProcess) -> str:
    """What it said last; it must have ended with code 2 and without a traceback."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A controller without switch, agent, model and configuration file, and without power."""
    with lab(tmp_path_factory.mktemp("bare")) as made:
        command = [*POWERLESS, str(MANAGER), "lego_sdn.app", "--ofp-tcp-listen-port", str(made.openflow), "--wsapi-port", str(made.rest)]
        environment = {name: value for name, value in os.environ.items() if name != "LEGO_CONFIG"}
        made.launch("controller", command, env=environment)
        until(made.answers, "the controller answers", 60.0)
        yield made


def test_it_says_what_is_missing_and_what_to_do(bare: Lab):
    status = bare.get("status")
    assert status["state"] == "waiting"
    said = " ".join(status["missing"])
    assert "no configuration file: defaults are used" in said
    assert f"the bridge lego0 is not connected: run 'lego up', or 'ovs-vsctl set-controller lego0 tcp:127.0.0.1:{bare.openflow}'" in said
    assert "no agent answers on /run/lego/agent.sock" in said
    assert "no model is configured" in said


def test_it_listens_on_the_loopback_only_and_on_no_other_port(bare: Lab):
    process = psutil.Process(bare.running["controller"].pid)
    listening = {(c.laddr.ip, c.laddr.port) for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    assert listening == {("127.0.0.1", bare.openflow), ("127.0.0.1", bare.rest)}


@pytest.mark.parametrize("name", ["status", "granularity", "graph", "bricks", "assignment", "switches", "events", "alerts"])
def test_it_answers_without_anything_around_it(bare: Lab, name):
    assert bare.get(name)


def test_flows_need_a_switch(bare: Lab):
    answer = bare.ask("/lego/v1/flows")
    assert answer.status == 503
    assert answer.body == {"error": "no answer from the switch", "detail": "the bridge lego0 is not connected"}


@pytest.mark.slow
def test_commands_are_refused_with_the_reason(bare: Lab):
    answer = bare.post("replicate")
    assert (answer.status, answer.body) == (409, {"error": "replicate refused", "detail": "no switch is connected"})


@pytest.mark.slow
def test_an_openflow_port_in_use_is_one_sentence():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = sentence(end_of("--ofp-tcp-listen-port", str(port), "--wsapi-port", str(free_port())))
    assert said == (
        f"lego: cannot listen on 127.0.0.1:{port} for OpenFlow: another process listens there; stop it, or choose another port "
        "(switch.openflow_port or --ofp-tcp-listen-port)"
    )


@pytest.mark.slow
def test_a_second_controller_does_not_share_the_port_silently(bare: Lab):
    said = sentence(end_of("--ofp-tcp-listen-port", str(free_port()), "--wsapi-port", str(bare.rest)))
    assert f"cannot listen on 127.0.0.1:{bare.rest} for REST: another process listens there" in said


@pytest.mark.slow
def test_an_impossible_port_is_one_sentence():
    assert "cannot listen on 127.0.0.1:70000 for REST" in sentence(
        end_of("--ofp-tcp-listen-port", str(free_port()), "--wsapi-port", "70000")
    )


@pytest.mark.slow
def test_an_address_of_another_machine_is_one_sentence():
    said = sentence(end_of("--ofp-listen-host", "192.0.2.1", "--ofp-tcp-listen-port", str(free_port())))
    assert "cannot listen on 192.0.2.1:" in said
    assert "choose another one" in said


@pytest.mark.slow
@pytest.mark.parametrize("by_environment", few_in_quick([False, True]))
def test_a_wrong_configuration_names_file_line_and_key(tmp_path, by_environment):
    path = tmp_path / "lego.yaml"
    path.write_text("nf: kitsune\nscaling:\n  max_instances: many\n")
    done = end_of(LEGO_CONFIG=str(path)) if by_environment else end_of("--lego-config", str(path))
    assert sentence(done) == f"lego: {path}:3: scaling.max_instances: wanted a whole number from 1 to 64, found 'many'"


NOT_SPLIT = """
from tests.destinations import *
from lego_sdn.core.facts.headers import ALL, SRC_IP
from dataclasses import replace
from tests.examples import few_in_quick
EVERYTHING = Extractor("everything", (Statistic("total", ALL, (Feature("total", (Read.same("total"),)),)),))
BOTH_ENDS = (Statistic("sent", SRC_IP, (Feature("sent", (Read.same("sent", "src_ip"),)),)), *RECEIVED.statistics)
MINE = replace(NF, extractors={"everything": EVERYTHING, "both": Extractor("both", BOTH_ENDS), **NF.extractors})
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("layout: everything", "scaling.max_instances is 4, but one instance must take all packets: statistic total is keyed by All"),
        ("layout: both", "statistic sent is keyed by SrcIP and statistic load by DstIP, and neither lies within the other"),
        ("layout: both\ngranularity: SrcIP", "load would need copies of every packet in every instance"),
        ("layout: received\ngranularity: SrcIP", "load would need copies of every packet in every instance"),
    ],
)
def test_a_split_that_cannot_be_carried_out_is_refused(tmp_path, text, words):
    path = tmp_path / "lego.yaml"
    path.write_text(f"nf: notsplit:MINE\n{text}\n")
    (tmp_path / "notsplit.py").write_text(NOT_SPLIT)
    said = sentence(end_of("--lego-config", str(path), PYTHONPATH=f"{tmp_path}:{ROOT}"))
    assert said.startswith("lego: ")
    assert words in said


@pytest.mark.slow
def test_a_configuration_that_is_not_there_is_one_sentence(tmp_path):
    assert str(tmp_path / "none.yaml") in sentence(end_of("--lego-config", str(tmp_path / "none.yaml")))


@pytest.mark.slow
def test_a_store_that_cannot_be_used_is_said_and_does_not_stop_it(tmp_path):
    (tmp_path / "controller.db").write_bytes(b"something else, that is longer than a header of a database would be" * 10)
    with lab(tmp_path) as made:
        made.start_controller()
        status = made.get("status")
    assert status["stored"] is None
    assert any("decisions are not kept over a restart: cannot use" in said for said in status["missing"])


READS = "+dac_read_search"  # this Python may lie in a folder of root's
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", f"--inh-caps={READS}", f"--ambient-caps={READS}"]


@pytest.mark.root
def test_without_root_decisions_are_kept_in_the_users_own_folder(tmp_path):
    """As `lego agent --owner` leaves it: the run_dir is root's."""
    state = tmp_path / "state"
    state.mkdir()
    os.chown(state, 65534, 65534)
    (tmp_path / "run").mkdir(mode=0o711)
    with lab(tmp_path, settings={"run_dir": str(tmp_path / "run")}) as made:
        command = [*NOBODY, str(MANAGER), "lego_sdn.app", "--lego-config", str(made.write_config())]
        made.launch("controller", command, env=os.environ | {"XDG_STATE_HOME": str(state)})
        until(made.answers, "the controller answers", 60.0)
        status = made.get("status")
    assert status["stored"] == f"{state}/lego/{str(tmp_path / 'run').strip('/').replace('/', '-')}.db"
    assert os.stat(status["stored"]).st_uid == 65534
    assert not any("decisions are not kept" in said for said in status["missing"])
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.slow
def test_the_command_line_goes_before_the_configuration(tmp_path):
    port = free_port()
    with lab(tmp_path) as made:
        command = [str(MANAGER), "lego_sdn.app", "--lego-config", str(made.write_config()), "--wsapi-port", str(port)]
        made.rest = port
        made.launch("controller", command)
        until(made.answers, "the controller answers on the port of the command line", 60.0)
        assert made.get("status")["config"].endswith("lego.yaml")


@pytest.mark.slow
def test_there_is_one_app_in_the_module():
    """Ryu loads one RyuApp of a module, by the alphabet, and ignores the others without a word."""
    code = (
        "import inspect, lego_sdn.app as m; from ryu.base.app_manager import RyuApp\n"
        "print([n for n, c in inspect.getmembers(m, inspect.isclass) if issubclass(c, RyuApp) and c.__module__ == m.__name__])"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=600, check=False)
    assert done.stdout == "['Lego']\n", done.stderr
