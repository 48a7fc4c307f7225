"""The sites of a line: dynamic partitions in the orchestrator's instance, so that adding one needs no deploy."""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import dagster as dg

from factory.errors import LineError, NameRefused
from factory.names import checked_name, few, meant
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


def require_sites(line: str, sites: Sequence[str], known: Collection[str]) -> None:
    """Raise NameRefused, naming what was probably meant, unless each site is known to the line or its source."""
    for site in sites:
        if site not in known:
            raise NameRefused(
                f"line {line} has no site {checked_name(site)!r}, nor has its source; {meant(site, known)}there are "
                f"{few(sorted(known))}. Where its rows are still to come: factory site add {line} {site} --new"
            )


def add_sites(instance: dg.DagsterInstance, line: str, sites: Sequence[str]) -> None:
    """Add sites to the line; one that is there already stays. Raises NameRefused."""
    for site in sites:
        checked_name(site)
    with _locked(instance):  # looking and adding are two steps
        instance.add_dynamic_partitions(f"{line}_sites", list(sites))


def drop_site(instance: dg.DagsterInstance, line: str, site: str) -> None:
    """Take a site's partition away; nothing happens where there is none."""
    with _locked(instance):
        instance.delete_dynamic_partition(f"{line}_sites", site)


def _locked(instance: dg.DagsterInstance) -> AbstractContextManager[None]:
    return FileLocks(Path(instance.root_directory)).hold("sites")
