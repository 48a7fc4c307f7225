"""A source of parts in memory, repairs that keep every row, and features known when a part leaves the press."""

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from factory.connectors.source import newest_of
from factory.errors import SourceError
from factory.line.line import Table

DAYS = 60
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
CHANGED_AT = FIRST + timedelta(days=38)
PARTS = {"north": 420, "south": 360, "east": 30}
GUESTS = {"west": 60}
"""Plants that the source has rows of and does not tell of."""


def parts(plant: str) -> pl.DataFrame:
    """Return a plant's parts: hot and strongly pressed ones are faulty more often."""
    rows = (PARTS | GUESTS)[plant]
    chance = np.random.default_rng(sum(plant.encode()))
    force, heat = chance.uniform(100, 900, rows), chance.uniform(20, 90, rows)
    faulty = chance.uniform(size=rows) < 1 / (1 + np.exp(-((force - 650) / 60 + (heat - 60) / 8)))
    moments = [FIRST + timedelta(days=DAYS * number / rows) for number in range(rows)]
    numbers = np.arange(rows) + 1000 * sorted(PARTS | GUESTS).index(plant)
    return pl.DataFrame(
        {
            "plant": [plant] * rows,
            "part": numbers,
            "pressed_at": moments,
            "force_kn": force,
            "heat_c": heat,
            "faulty": faulty,
        },
        schema_overrides={"pressed_at": pl.Datetime("us", "UTC")},
    )


def shifts() -> pl.DataFrame:
    """Return one row a day."""
    days = [date(2024, 1, 1) + timedelta(days=number) for number in range(DAYS)]
    return pl.DataFrame({"day": days, "crew": [4 + number % 3 for number in range(DAYS)]})


class Presses:
    """Gives parts and shifts, whole or in one of the ways that sources fail.

    `broken` plants die after their first batch; `deadly` ones kill the whole process there; `spoiled` ones have a row
    of wrong force; `strange` ones a column under another name; `flawless` ones no faulty part; `late` ones have not
    sent ten parts of the first days yet; `hot` ones run hotter from 8 February on; `sound` ones make no faulty part
    from then on, `unsound` ones no other. `meet` is a folder in which two processes wait for each other, before either
    gives a part.
    """

    def __init__(self, meet: str = "", **plants: Sequence[str]) -> None:
        self.meet = Path(meet) if meet else None
        self.plants = plants

    def sites(self, _table: Table, _until: datetime) -> list[str]:
        """Return the plants."""
        return sorted(PARTS)

    def newest(self, table: Table, until: datetime) -> dict[str, Any]:
        """Return the moment of each plant's newest part."""
        rows = pl.concat([parts(plant) for plant in self.sites(table, until)])
        return newest_of(rows.filter(pl.col("pressed_at") < until.replace(tzinfo=UTC)), table)

    def read(self, table: Table, *, site: str | None, after: Any, until: datetime) -> Iterator[pl.DataFrame]:
        """Yield the rows in two batches."""
        if table.name == "shifts":
            yield shifts()
            return
        if site not in PARTS | GUESTS:
            return
        if self.meet:
            wait_for_another(self.meet)
        rows = parts(site).filter(pl.col("pressed_at") < until.replace(tzinfo=UTC))
        rows = self._changed(rows, site)
        rows = rows if after is None else rows.filter(pl.col("pressed_at") >= after)
        yield rows.head(len(rows) // 2)
        if self._is("deadly", site):
            os.kill(os.getpid(), signal.SIGKILL)
        if self._is("broken", site):
            raise SourceError(f"site {site}: the line to the plant was cut; try again later")
        yield rows.tail(len(rows) - len(rows) // 2)

    def _changed(self, rows: pl.DataFrame, site: str) -> pl.DataFrame:
        if self._is("spoiled", site):
            rows = rows.with_columns(force_kn=pl.when(pl.col("part") % 100 == 7).then(-1.0).otherwise("force_kn"))
        if self._is("strange", site):
            rows = rows.rename({"heat_c": "smell"})
        if self._is("late", site):
            rows = rows.filter(~pl.col("part").is_in(rows["part"][20:30].to_list()))
        later = pl.col("pressed_at") >= CHANGED_AT
        if self._is("hot", site):
            rows = rows.with_columns(heat_c=pl.when(later).then(pl.col("heat_c") + 40).otherwise("heat_c"))
        if self._is("sound", site):
            rows = rows.with_columns(faulty=pl.col("faulty") & ~later)
        if self._is("unsound", site):
            rows = rows.with_columns(faulty=pl.col("faulty") | later)
        if self._is("flawless", site):
            rows = rows.with_columns(faulty=pl.lit(False))
        return rows

    def _is(self, kind: str, site: str) -> bool:
        return site in self.plants.get(kind, ())


def wait_for_another(folder: Path, timeout_s: float = 60) -> None:
    """Go on once two processes are here."""
    (folder / str(os.getpid())).touch()
    given_up = time.monotonic() + timeout_s
    while len(list(folder.iterdir())) < 2:
        if time.monotonic() > given_up:
            raise SourceError(f"no other process came to {folder}")
        time.sleep(0.01)


def repair_parts(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Name the day, for the join with shifts."""
    return rows.with_columns(day=pl.col("pressed_at").dt.date())


def repair_shifts(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Leave shifts as they are."""
    return rows


def build(tables: Mapping[str, pl.LazyFrame]) -> pl.LazyFrame:
    """Return what is known when a part leaves the press."""
    crews = tables["shifts"].select("day", "crew")
    return (
        tables["parts"]
        .join(crews, on="day", how="left")
        .select(
            "site",
            "part",
            pl.col("pressed_at").alias("decided_at"),
            pl.col("faulty").cast(pl.Float32).alias("label"),
            *(pl.col(name).cast(pl.Float32) for name in ("force_kn", "heat_c", "crew")),
        )
    )
