"""Which site comes in which wave: what the sites serve and were judged on in, waves of names out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from factory.errors import RolloutRefused

REST = "rest"
DEFAULT_SIZES = f"1,4,{REST}"


@dataclass(frozen=True, kw_only=True)
class PlannedSite:
    """A site before the change: whether it serves, and on how many rows its last candidate was judged."""

    serves: bool
    rows: int


def waves_of(sites: Mapping[str, PlannedSite], pilot: str, sizes: Sequence[int]) -> list[tuple[str, ...]]:
    """Return the waves, each site in exactly one and none empty; `sizes` are those before the rest.

    The pilot opens the first wave: the named one, or the site that serves and was judged on most rows. The others
    follow by their rows. Those that never served come last of all, with the rest. Raises RolloutRefused.
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
            raise RolloutRefused(f"pilot {named!r} is no site of the line; there are {', '.join(sorted(sites))}")
        return named
    if not served:
        raise RolloutRefused("no site serves yet, so the pilot must be named: --pilot SITE")
    return served[0]
