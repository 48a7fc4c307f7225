"""What rows say, as one short digest a site: whoever made them anew can tell whether anything is different.

The order of the rows does not count, how often each one comes does, and so do names and types of columns. Digests are
the same in every process of one Polars version; another version makes everything after it anew, once.
"""

from collections.abc import Sequence

import polars as pl

from factory.storage.columns import SITE
from factory.storage.journal import fingerprint

_SEEDS = (11, 73)
_HALF = 1 << 32


def content_digests(rows: pl.DataFrame, sites: Sequence[str]) -> dict[str, str]:
    """Return a digest of each site's rows; a site without rows has one, too. `rows` has a column `site`."""
    schema = {name: str(dtype) for name, dtype in sorted(rows.schema.items())}
    ordered = rows.select(sorted(rows.columns))
    sums = []
    hashed = rows.select(SITE)
    for seed in _SEEDS:
        hashes = ordered.hash_rows(seed=seed)
        # Halves of 32 bits, whose sums over four billion rows fit into 64.
        hashed = hashed.with_columns((hashes // _HALF).alias(f"high{seed}"), (hashes % _HALF).alias(f"low{seed}"))
        sums += [pl.col(f"high{seed}").sum(), pl.col(f"low{seed}").sum()]
    found = {row[0]: row[1:] for row in hashed.group_by(SITE).agg(pl.len(), *sums).iter_rows()}
    return {site: fingerprint(schema, found.get(site, (0,))) for site in sites}
