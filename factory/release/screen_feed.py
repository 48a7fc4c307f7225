"""What a site's screen shows: its newest decisions, beside its model, in a file that the gateway reads.

Whoever delivers decisions adds to it; a screen asks the gateway for what came after the last one it has. Each has a
number, which grows by one; the newest stay, and older ones go.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from factory.release.layout import checked, screen_file
from factory.storage.atomic_files import replace_file
from factory.storage.locks import FileLocks

KEPT = 500
"""How many decisions of a site are kept."""


class ShownDecision(msgspec.Struct, frozen=True, kw_only=True):
    """One decision on a screen."""

    number: int
    message_key: str
    at: str
    """When it came, ISO in UTC."""
    withdrawn: bool = False
    """Whether it takes back the decision with the same key."""
    fields: dict[str, Any] = {}
    """What the line's file says of it."""


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What a screen is given."""

    newest: int = 0
    """The number of the newest decision: what to ask after the next time."""
    decisions: tuple[ShownDecision, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ScreenFeeds:
    """The feeds of all sites, in the folder of a model repository."""

    models: Path

    def shown(self, model: str, after: int = 0) -> Shown:
        """Return a site's decisions after a number, oldest first; all that are kept where that one is not known here.

        Raises ValueError where the file is damaged, and OSError where it cannot be read.
        """
        try:
            every = msgspec.json.decode((self.models / screen_file(checked(model))).read_bytes(), type=Shown)
        except FileNotFoundError:
            return Shown()
        since = after if after <= every.newest else 0
        return Shown(newest=every.newest, decisions=tuple(one for one in every.decisions if one.number > since))

    def add(self, model: str, decisions: Sequence[tuple[str, bool, Mapping[str, Any]]]) -> None:
        """Add decisions, each a key, whether it withdraws, and its fields; one that is there is not added again."""
        place = self.models / screen_file(checked(model))
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLocks(place.parent / ".locks").hold(model):
            before = self.shown(model)
            known = {(one.message_key, one.withdrawn) for one in before.decisions}
            new = [one for one in decisions if one[:2] not in known]
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            added = tuple(
                ShownDecision(number=number, message_key=key, at=now, withdrawn=withdrawn, fields=dict(fields))
                for number, (key, withdrawn, fields) in enumerate(new, before.newest + 1)
            )
            if added:
                kept = (*before.decisions, *added)[-KEPT:]
                feed = Shown(newest=before.newest + len(added), decisions=kept)
                replace_file(place, msgspec.json.encode(feed), mode=0o644)
