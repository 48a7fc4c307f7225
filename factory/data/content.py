"""The content of rows as one short digest a site: a stage that ran again can tell whether its result is different.

The digest depends on the rows, how often each one comes, and the names and types of the columns; not on the order of
the rows. It is the same in every process of one Polars version; after a change of version everything runs again, once.
"""

from collections.abc import Mapping, Sequence

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
    sums_by_site = {row[0]: row[1:] for row in hashed.group_by(SITE).agg(pl.len(), *sums).iter_rows()}
    return {site: fingerprint(schema, sums_by_site.get(site, (0,))) for site in sites}


IDENTITY, COPY = ("_identity_11", "_identity_73"), "_copy"
"""Columns that tell rows apart: 128 bits of a row's content, and which of several equal rows it is."""


def identified(rows: pl.DataFrame, content: Sequence[str], types: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Return rows with IDENTITY, made of the columns `content`, and COPY; a column that is not there counts as null."""
    columns = [pl.col(name) if name in rows.columns else pl.lit(None, types[name]).alias(name) for name in content]
    whole = rows.select(columns) if len(rows) else pl.DataFrame(schema={name: types[name] for name in content})
    hashes = [whole.hash_rows(seed=seed).alias(name) for name, seed in zip(IDENTITY, _SEEDS, strict=True)]
    return rows.with_columns(hashes).with_columns(pl.int_range(pl.len()).over(IDENTITY).alias(COPY))
