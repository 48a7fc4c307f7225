"""Whether a site has sent nothing for longer than it ever did: a plain rule over the moments of its rows.

Usual is the longest time without rows that was nothing to tell of: the longest gap between two rows, how far behind its
newest row a load with new rows came, and a silence that was told and then ended with rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

ARRIVALS = "arrivals"
"""The figure of a raw table's journal that `Arrivals` is kept in."""
ENOUGH_ROWS, ENOUGH_LOADS = 10, 3
"""With fewer rows too little is known of gaps between them; where they have no moments, loads are counted."""


def silence_of(asset: str) -> str:
    """Return the name under which findings have what stands of an asset's silence, apart from its rows."""
    return f"{asset} silence"


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    """What is known of when rows of one site come; moments are UTC and naive."""

    newest: datetime
    """The moment of the newest row; where rows have none, the one that the load which brought it looked as of."""
    usual: timedelta
    """The longest time without rows that was nothing to tell of."""
    is_known: bool
    """Whether there is enough to judge by."""
    loads: int = 1
    """How many loads brought rows."""
    was_absent: bool = False
    """Whether it was missing from an export before, and came back: it is told again only when it is silent, too."""

    def is_silent(self, until: datetime) -> bool:
        """Whether no row came for longer than ever before."""
        return self.is_known and until - self.newest > self.usual

    def sentence(self, table: str) -> str:
        """Return what is to be known of a silent site."""
        return (
            f"table {table}: no row came since {self.newest:%Y-%m-%d %H:%M} UTC, for longer than ever before "
            f"({_words(self.usual)}); look at what sends them"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; `from_figures` reads them."""
        return {
            "newest": self.newest.isoformat(),
            "usual_s": self.usual.total_seconds(),
            "is_known": self.is_known,
            "loads": self.loads,
            "was_absent": self.was_absent,
        }

    @classmethod
    def from_figures(cls, figures: Mapping[str, Any]) -> "Arrivals | None":
        """Return what a journal's entry of a raw table says; None where it is from before this was kept."""
        said = figures.get(ARRIVALS)
        if not said:
            return None
        newest, usual = datetime.fromisoformat(said["newest"]), timedelta(seconds=said["usual_s"])
        return cls(
            newest=newest,
            usual=usual,
            is_known=said["is_known"],
            loads=said["loads"],
            was_absent=said["was_absent"],
        )


def _words(time: timedelta) -> str:
    hours = time / timedelta(hours=1)
    if hours >= 72:
        return f"{hours / 24:.0f} days"
    return f"{hours:.0f} hours" if hours >= 2 else f"{hours * 60:.0f} minutes"
