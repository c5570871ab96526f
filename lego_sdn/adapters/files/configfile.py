"""The configuration file: YAML, read at the edge; every complaint names file, line and key."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from lego_sdn.adapters.files.plugins import make_known
from lego_sdn.core.facts.config import Config, KeyProblem
from lego_sdn.core.facts.errors import ConfigError, HostError
from lego_sdn.core.facts.text import printable, shown
from lego_sdn.core.policy.registry import policy

BYTES_MOST = 1 << 20  # of a file
NODES_MOST = 20_000  # values of a file, with those that an alias repeats
DEPTH_MOST = 32
NO_VALUE = (
    ValueError,
    TypeError,
    OverflowError,
    AttributeError,
    KeyError,
    IndexError,
)  # of a number, date or key that YAML's reader fails at


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice, where YAML would silently take the last one, and what grows without bound when read."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._nodes = self._depth = 0
        self._sizes: dict[str, int] = {}  # values below an anchor

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in self.anchors and event.anchor not in self._sizes:
                raise yaml.composer.ComposerError(None, None, f"*{event.anchor} stands within itself", event.start_mark)
            self._count(self._sizes.get(event.anchor, 1), event)
            return super().compose_node(parent, index)
        before, self._depth = self._nodes, self._depth + 1
        self._count(1, event)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if event.anchor is not None:
            self._sizes[event.anchor] = self._nodes - before
        return node

    def _count(self, more: int, event: yaml.Event) -> None:
        self._nodes += more
        if self._nodes > NODES_MOST:
            raise yaml.composer.ComposerError(None, None, f"there are more than {NODES_MOST} values", event.start_mark)
        if self._depth > DEPTH_MOST:
            raise yaml.composer.ComposerError(None, None, f"values are nested more than {DEPTH_MOST} deep", event.start_mark)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except NO_VALUE as error:
            raise yaml.constructor.ConstructorError(
                None, None, f"a value cannot be read ({printable(str(error), 200)})", node.start_mark
            ) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key_node.value in seen:
                problem = f"key {printable(key_node.value, 200)} is given twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def load(path: str | Path, follows_policy: bool = True) -> Config:
    """The configuration in the YAML file at `path`; an empty file gives the defaults. Raises ConfigError naming file, line and key.

    follows_policy: import a scaling policy of the user's own; who does not scale need not know it
    """
    try:
        with open(path, "rb") as file:
            data = file.read(BYTES_MOST + 1)
        text = data.decode("utf-8")
    except OSError as error:
        raise ConfigError(f"configuration {path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"configuration {path}: is no text in UTF-8 (byte {error.start})") from error
    except ValueError as error:
        raise ConfigError(f"configuration {shown(str(path))}: cannot be read ({error})") from error
    if len(data) > BYTES_MOST:
        raise ConfigError(f"configuration {path}: is longer than {BYTES_MOST} bytes")
    return parse(text, str(path), Path(path).resolve().parent, follows_policy)


def parse(text: str, name: str = "configuration", folder: Path = Path(), follows_policy: bool = True) -> Config:
    """The configuration in YAML `text`; `name` is the file's, for messages, and a policy of the user's own may lie in `folder`."""
    try:
        root, data = _read(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}" if mark else name
        problem = getattr(error, "problem", None) or "holds a character that YAML does not allow"
        raise ConfigError(f"{where}: {printable(problem)}") from error
    except (*NO_VALUE, RecursionError) as error:
        raise ConfigError(f"{name}: is no YAML that can be read ({type(error).__name__})") from error
    try:
        config = Config.parse(data)
        if ":" in config.scaling.policy:  # whoever is told this configuration by another file finds the module, too
            folder = folder.resolve() / (config.scaling.policy_folder or ".")
            config = replace(config, scaling=replace(config.scaling, policy_folder=str(folder)))
        if follows_policy or ":" not in config.scaling.policy:
            make_known(config.scaling.policy, folder)
            policy(config.scaling)
        return config
    except KeyProblem as problem:
        raise ConfigError(f"{name}:{_line(root, problem.key)}: {problem}") from problem


def dump(config: Config) -> str:
    """The configuration as YAML that `parse` reads as the same one, whatever its numbers are."""
    return yaml.dump(config.to_dict(), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def write(config: Config, path: Path) -> None:
    """Write it to a file, unless the file says so already. HostError if that fails; then the file is as it was."""
    text, fresh = dump(config), path.with_name(path.name + ".new")
    try:
        if path.exists() and path.read_bytes() == text.encode():
            return
        fresh.write_text(text, encoding="utf-8")
        os.replace(fresh, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise HostError(f"cannot write {path}: {error.strerror}; free space there, or make it writable") from error


class _Dumper(yaml.SafeDumper):
    """Every value is written out where it stands: a reader that refuses references reads it, too."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _read(text: str) -> tuple[yaml.Node | None, Any]:
    """The document as nodes, which know their lines, and as plain values."""
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        return root, loader.construct_document(root) if root is not None else None
    finally:
        loader.dispose()


def _line(node: yaml.Node | None, key: str) -> int:
    """The line of a dotted key, or of the innermost section of it that the file has."""
    line = node.start_mark.line if node is not None else 0
    for name in key.split("."):
        if not isinstance(node, yaml.MappingNode):
            break
        found = [(k, v) for k, v in node.value if k.value == name]
        if not found:
            break
        line, node = found[0][0].start_mark.line, found[0][1]
    return line + 1
