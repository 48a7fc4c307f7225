"""What a line's data make known of themselves: columns that changed, sites gone silent, batches that are mostly broken.

A finding stands as long as it is found, and is told when it begins. The journal has it on record: the newest entry of
FINDINGS has, by asset, what stands at a site, and older ones what stood when.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from factory.storage.journal import Journal, fingerprint

FINDINGS = "findings"
"""The journal's stage of findings, and the figure by which a stage says what it found."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing to know about a site's data."""

    kind: str
    """What it is about, in two words."""
    key: str
    """Stays the same as long as the same thing stands, whatever its figures are."""
    text: str


def keep(journal: Journal, asset: str, found: Mapping[str, Sequence[Finding]], run: str) -> dict[str, list[Finding]]:
    """Keep what was found of an asset by site, in the place of what stood there; return what is new."""
    known = journal.latest(FINDINGS, list(found))
    stood = {site: dict(known[site].figures.get(asset, {})) if site in known else {} for site in found}
    stands = {site: {finding.key: finding.text for finding in some} for site, some in found.items()}
    changed = {
        site: {**(known[site].figures if site in known else {}), asset: stands[site]}
        for site in found
        if stands[site] != stood[site]
    }
    if changed:
        marks = {site: fingerprint(figures) for site, figures in changed.items()}
        journal.record(FINDINGS, changed, marks, run=run, seconds=0.0)
    new = {site: [finding for finding in some if finding.key not in stood[site]] for site, some in found.items()}
    return {site: some for site, some in new.items() if some}


def schema_of(asset: str) -> str:
    """Return the name under which findings have how an asset's columns changed, which is told once."""
    return f"{asset} schema"


def standing(figures: Mapping[str, Any], *, but_schema: bool = False) -> list[str]:
    """Return the sentences of what stands at a site, from the figures of its newest entry of FINDINGS."""
    some = [found for asset, found in figures.items() if not (but_schema and asset.endswith(schema_of("")))]
    return [text for found in some for text in found.values()]
