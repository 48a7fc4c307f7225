"""Puts back what a wave changed: each of its sites serves again what it served before, and is held there.

A site that first began to serve in the wave has nothing to go back to, and its file passed its own gates: it goes on
with that, held there as well, for only a person takes a site out of service. What a person rolled back by hand stays.
"""

from collections.abc import Mapping

from factory.errors import ModelRefused, ReleaseRefused
from factory.names import model_name
from factory.pipeline.rollout.sites import LinePlace
from factory.release import Manifest
from factory.release.rollback import roll_back


def reverted(place: LinePlace, before: Mapping[str, int | None], *, by: str, reason: str) -> dict[str, str]:
    """Return what became of each site that was changed since it served the release `before`; idempotent."""
    results = {}
    for site, sequence in before.items():
        try:
            results[site] = _reverted(place, site, sequence, by, reason)
        except (ModelRefused, ReleaseRefused) as error:
            results[site] = f"could not be put back to release {sequence}: {error}"
    return {site: what for site, what in results.items() if what}


def _reverted(place: LinePlace, site: str, before: int | None, by: str, reason: str) -> str:
    now, hold = _link_of(place, site), place.permissions(site).hold
    if hold and now and hold.release == now.sequence:
        return f"is held on release {now.sequence} by {hold.actor}"
    if now and now.sequence == before:
        return ""
    began = before is None
    target = now.sequence if now and began else before
    if target is None:
        return ""  # it served nothing and serves nothing
    model = model_name(place.line, site)
    roll_back(place.repository, model, to=target, by=by, reason=reason, key=place.key)
    return (
        f"began to serve in this wave; it goes on with release {target} and is held there"
        if began
        else f"serves release {target} again and is held there"
    )


def _link_of(place: LinePlace, site: str) -> Manifest | None:
    """Return what the site's link points to, loadable or not; None where that cannot even be read."""
    try:
        return place.repository.current(model_name(place.line, site))
    except ModelRefused:
        return None
