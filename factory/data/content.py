"""stub until merge"""

import polars as pl

from factory.storage.columns import SITE


def content_digests(rows, sites):
    out = {}
    for s in sites:
        some = rows.filter(pl.col(SITE) == s) if SITE in rows.columns else rows
        h = some.hash_rows(seed=1)
        out[s] = f"{len(some)}-{int(h.sum() or 0)}"
    return out
