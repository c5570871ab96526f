"""A controller in a process of its own, with what it needs around it; everything is ended by its process id and removed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from lego_sdn.adapters.linux import netns
from lego_sdn.adapters.rpc.calls import Client
from lego_sdn.adapters.rpc.wire import free_port
from lego_sdn.core.facts.errors import RpcError

ROOT = Path(__file__).resolve().parent.parent.parent
MANAGER = Path(sys.executable).parent / "ryu-manager"
Found = TypeVar("Found")
JSON = {"Content-Type": "application/json"}


def until(found: Callable[[], Found], what: str, seconds: float = 30.0) -> Found:
    """What `found` returns as soon as it is true; a failure with the last answer if it never is."""
    deadline = time.monotonic() + seconds
    while True:
        answer = found()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"after {seconds} s not yet: {what}; last: {answer!r}"
        time.sleep(0.02)


@dataclass
class Answer:
    status: int
    body: Any
    headers: Any


@dataclass
class Lab:
    """One controller and its surroundings; `namespace`: where they run, if not in this process's own."""

    folder: Path
    namespace: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    openflow: int = field(default_factory=free_port)
    rest: int = field(default_factory=free_port)
    running: dict[str, subprocess.Popen] = field(default_factory=dict)

    unanswered: str = ""  # why the controller did not answer, last time

    def __post_init__(self) -> None:
        self.bridge = f"lq{os.getpid() % 1000000}"
        self.model = self.folder / "any.model"
        self.model.write_text("the fake agent does not read it")

    @property
    def agent_socket(self) -> str:
        return self.settings.get("agent_socket", str(self.folder / "agent.sock"))

    def write_config(self) -> Path:
        base = {
            "run_dir": str(self.folder),
            "switch": {"bridge": self.bridge, "openflow_port": self.openflow},
            "rest": {"port": self.rest},
            "model": str(self.model),
        }
        path = self.folder / "lego.yaml"
        path.write_text(yaml.safe_dump(base | self.settings))
        return path

    # ---- processes ----
    def launch(self, name: str, command: list[str], **more: Any) -> subprocess.Popen:
        with open(self.folder / f"{name}.log", "ab") as log, self.inside():
            self.running[name] = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, **more)
        return self.running[name]

    def inside(self) -> contextlib.AbstractContextManager:
        return netns.inside(self.namespace) if self.namespace else contextlib.nullcontext()

    def start_controller(self) -> None:
        self.launch("controller", [str(MANAGER), "lego_sdn.app", "--lego-config", str(self.write_config())])
        until(self.answers, "the controller answers", 60.0)

    def start_agent(self, *more: str) -> None:
        self.launch("agent", [sys.executable, "-m", "tests.fakes.agent", self.agent_socket, *more])
        until(self._agent_answers, "the agent answers")

    def _agent_answers(self) -> bool:
        try:
            return bool(self.agent("hello"))
        except RpcError:
            return False

    def agent(self, method: str, *params: Any) -> Any:
        with Client(self.agent_socket, timeout=10.0) as client:
            return client.call(method, *params)

    def kill(self, name: str) -> None:
        """kill -9."""
        process = self.running.pop(name)
        process.kill()
        process.wait(10)

    def close(self) -> None:
        if "agent" in self.running and self.running["agent"].poll() is None:
            self.agent("quit")
            self.running.pop("agent").wait(20)
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        for process in self.running.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)

    # ---- REST ----
    def ask(self, path: str, method: str = "GET", body: Any = None, headers: Mapping[str, str] = JSON) -> Answer:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.rest}{path}", data, dict(headers), method=method)
        with self.inside():
            try:
                with urllib.request.urlopen(request, timeout=10) as response:
                    return _answer(response)
            except urllib.error.HTTPError as error:
                with error:
                    return _answer(error)

    def get(self, name: str) -> Any:
        answer = self.ask(f"/lego/v1/{name}")
        assert answer.status == 200, answer
        return answer.body

    def post(self, name: str, body: Any = None) -> Answer:
        return self.ask(f"/lego/v1/{name}", "POST", {} if body is None else body)

    def begun(self, name: str, body: Any = None) -> Answer:
        """The answer to a command once it is accepted: it is refused while another change is under way."""
        deadline = time.monotonic() + 30.0
        while (answer := self.post(name, body)).status == 409 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert answer.status == 202, answer
        return answer

    def running_instances(self) -> list[int]:
        return [one["instance"] for one in self.get("status")["instances"] if one["phase"] == "running"]

    def settled(self) -> bool:
        """No change is in flight and the rules are in force."""
        status = self.get("status")
        return status["change"] is None and status["rules"]["in_force"] == status["rules"]["version"] > 0

    def log(self, name: str = "controller") -> str:
        return (self.folder / f"{name}.log").read_text()

    def answers(self) -> bool:
        process = self.running["controller"]
        assert process.poll() is None, f"the controller ended with {process.returncode}: {self.log()}"
        try:
            return self.ask("/lego/v1/status").status == 200
        except urllib.error.URLError as error:
            self.unanswered = str(error)
            return False


def _answer(response: Any) -> Answer:
    body = response.read()
    kind = response.headers.get("Content-Type", "")
    return Answer(response.status, json.loads(body) if kind.startswith("application/json") else body.decode(), response.headers)


@contextlib.contextmanager
def lab(folder: Path, **more: Any) -> Iterator[Lab]:
    """A lab that is cleared away at the end, and whose controller's log is shown if the test fails."""
    made = Lab(folder, **more)
    try:
        yield made
    except BaseException:
        for path in sorted(folder.glob("*.log")):
            print(f"---- {path.name}\n{path.read_text()[-6000:]}")
        raise
    finally:
        made.close()
