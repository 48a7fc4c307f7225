"""A snapshot of the toy line, made from its source without a run."""

import dataclasses
from pathlib import Path

import polars as pl

from factory.features.online.assembly import assembled
from factory.features.online.builder import Builder
from factory.features.online.proof import Trained, prove
from factory.features.online.store import Snapshots
from factory.line.look_back import LookBack
from factory.release.signing import signing_key
from tests.toy.line import toy_line
from tests.toy.press_faults.presses import PARTS, parts, repair_parts, shifts

LINE = toy_line()


def raw_rows():
    """Every plant's parts, as the lake keeps raw rows."""
    rows = pl.concat([parts(plant) for plant in PARTS]).with_columns(site=pl.col("plant"))
    return rows.with_columns(_load=pl.lit(1, pl.Int64), _row=pl.int_range(pl.len(), dtype=pl.Int64)).lazy()


def clean_tables():
    """The clean tables."""
    return {"parts": repair_parts(raw_rows().drop("_load", "_row")), "shifts": shifts().lazy()}


def features():
    """What training has."""
    return LINE.features.build(clean_tables())


def made_snapshot(line=LINE, look_back=None, sites=tuple(PARTS), tables=None):
    """A snapshot and its tables, of all sites, unsigned."""
    new = assembled(line, look_back or LookBack(days=1), tables or clean_tables(), {}, "these rows")
    return dataclasses.replace(new, snapshot=dataclasses.replace(new.snapshot, sites=tuple(sites)))


def builder(**how) -> Builder:
    """What builds rows on such a snapshot."""
    new = made_snapshot(**how)
    return Builder(new.snapshot, new.tables)


def proved(new, line=LINE, raw=None, rows=None):
    """How many decisions of each site the proof built again, and which sites' features differ."""
    raw, rows = raw_rows() if raw is None else raw, features() if rows is None else rows
    trained = Trained(line=line, raw={"parts": raw}, features=rows)
    return prove(trained, Builder(new.snapshot, new.tables), new.tables)


def published(home: Path, **how) -> Snapshots:
    """The snapshot, signed and put beside the models of a home."""
    new = made_snapshot(**how)
    snapshots = Snapshots(home / "models")
    snapshots.put(new.snapshot.signed(signing_key(home / "keys")), new.files)
    return snapshots


def record(row, **changed):
    """A raw row as a client sends it, without what is known only later."""
    told = {**row, "pressed_at": row["pressed_at"].isoformat()}
    return {name: told[name] for name in ("plant", "part", "pressed_at", "force_kn", "heat_c")} | changed


def newest(plant, count=1):
    """The newest raw rows of a plant."""
    return parts(plant).sort("pressed_at").tail(count).to_dicts()
