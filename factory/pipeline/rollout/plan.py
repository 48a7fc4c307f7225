"""Which site comes in which wave: what the sites serve and were judged on in, waves of names out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from factory.errors import RolloutRefused
from factory.names import few, meant

REST = "rest"
DEFAULT_SIZES = f"1,4,{REST}"


@dataclass(frozen=True, kw_only=True)
class PlannedSite:
    """A site before the change."""

    serves: bool
    rows: int
    """On how many its last candidate was judged."""
    held: str = ""
    """Why its history lets no change through, whatever the change is; empty where it would."""


def waves_of(sites: Mapping[str, PlannedSite], pilot: str, sizes: Sequence[int]) -> list[tuple[str, ...]]:
    """Return the waves, each site in exactly one and none empty; `sizes` are those before the rest.

    The pilot opens the first wave: the named one, or of the sites that serve and are not held the one judged on most
    rows. The others follow by their rows. Those that never served come last of all, with the rest.
    Raises RolloutRefused.
    """
    served = sorted((site for site in sites if sites[site].serves), key=lambda site: (-sites[site].rows, site))
    first = _pilot(sites, pilot, served)
    queue = [first, *(site for site in served if site != first)]
    waves = []
    for size in sizes:
        waves.append(tuple(queue[:size]))
        queue = queue[size:]
    never = sorted(site for site in sites if not sites[site].serves and site != first)
    return [wave for wave in (*waves, (*queue, *never)) if wave]


def sizes_of(text: str) -> tuple[int, ...]:
    """Return the sizes that `1,4,rest` says, without the rest. Raises RolloutRefused on anything else."""
    *sizes, last = (word.strip() for word in text.split(","))
    if last != REST or not all(size.isascii() and size.isdecimal() and 1 <= len(size) <= 6 for size in sizes):
        raise RolloutRefused(f"waves {text!r} cannot be read: write sizes and then {REST}, such as {DEFAULT_SIZES}")
    if 0 in (wave_sizes := tuple(map(int, sizes))):
        raise RolloutRefused(f"waves {text!r}: a wave of no sites; the smallest is 1")
    return wave_sizes


def _pilot(sites: Mapping[str, PlannedSite], named: str, served: Sequence[str]) -> str:
    if named:
        if named not in sites:
            known = f"{meant(named, sites)}there are {few(sorted(sites))}"
            raise RolloutRefused(f"pilot {named!r} is no site of the line; {known}")
        if why := sites[named].held:
            raise RolloutRefused(f"pilot {named} would not take the change: {why}")
        return named
    if not served:
        raise RolloutRefused("no site serves yet, so the pilot must be named: --pilot SITE")
    free = [site for site in served if not sites[site].held]
    if not free:
        raise RolloutRefused(f"every site that serves is held, so none can be the pilot: {_holds(sites, served)}")
    return free[0]


def _holds(sites: Mapping[str, PlannedSite], served: Sequence[str], at_most: int = 3) -> str:
    more = f"; and {len(served) - at_most} more" if len(served) > at_most else ""
    return "; ".join(f"{site}: {sites[site].held}" for site in served[:at_most]) + more
