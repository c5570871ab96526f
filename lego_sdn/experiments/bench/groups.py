"""All rows, by the group that measures them, and the bench from its first row to its last."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from types import ModuleType

from lego_sdn.core.facts.errors import ConfigError, LegoError
from lego_sdn.experiments.bench.inputs import Bench
from lego_sdn.experiments.bench.rows import Result, Row

GROUPS = ("parsing", "features", "network", "chain", "attack", "hop", "live", "elastic", "moves", "failover", "start", "cost")


def module_of(group: str) -> ModuleType:
    return importlib.import_module(f"lego_sdn.experiments.bench.{group}")


def all_rows() -> tuple[Row, ...]:
    """Every row, in the order in which they are measured."""
    return tuple(row for group in GROUPS for row in module_of(group).ROWS)


def choose(names: tuple[str, ...]) -> frozenset[str]:
    """Rows named in full or by their first words ("attack", "attack.scan"); all if none is named. ConfigError for a name without a row."""
    known = [row.name for row in all_rows()]
    for name in names:
        if not any(_covers(name, row) for row in known):
            raise ConfigError(f"there is no row {name!r}; the rows are {', '.join(known)}")
    return frozenset(row for row in known if not names or any(_covers(name, row) for name in names))


def _covers(name: str, row: str) -> bool:
    return row == name or row.startswith(f"{name}.")


def measure(bench: Bench, wanted: frozenset[str], begins: Callable[[str], None] = lambda group: None) -> Iterator[Result]:
    """A result for every wanted row. `begins` hears of each group; one that cannot be measured fails its rows, not the others."""
    for group in GROUPS:
        module = module_of(group)
        left = {row.name: row for row in module.ROWS if row.name in wanted}
        if not left:
            continue
        begins(group)
        try:
            for result in module.measure(bench, frozenset(left)):
                if left.pop(result.row.name, None):
                    yield result
        except LegoError as error:
            yield from (Result(row, failed=str(error)) for row in left.values())
