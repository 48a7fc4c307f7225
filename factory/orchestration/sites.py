"""The sites of a line: dynamic partitions in the orchestrator's instance, so that adding one needs no deploy."""

from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from factory.errors import LineError
from factory.names import checked_name
from factory.storage.locks import FileLocks


def sites_of(line: str) -> dg.DynamicPartitionsDefinition:
    """Return a line's sites as partitions."""
    return dg.DynamicPartitionsDefinition(name=f"{line}_sites")


def known_sites(instance: dg.DagsterInstance, line: str) -> list[str]:
    """Return the sites that a line has, in the order they were added."""
    return list(instance.get_dynamic_partitions(f"{line}_sites"))


def require_known_sites(instance: dg.DagsterInstance, line: str) -> list[str]:
    """Return the sites that a line has; raises LineError where it has none."""
    known = known_sites(instance, line)
    if not known:
        raise LineError(f"line {line} has no sites yet, so there is nothing to redo: run it without --from")
    return known


def add_sites(instance: dg.DagsterInstance, line: str, sites: Sequence[str]) -> None:
    """Add sites to the line; one that is there already stays. Raises NameRefused."""
    for site in sites:
        checked_name(site)
    locks = FileLocks(Path(instance.root_directory))
    with locks.hold("sites"):  # looking and adding are two steps
        instance.add_dynamic_partitions(f"{line}_sites", list(sites))
