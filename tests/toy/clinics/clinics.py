"""Files of visits and people whose every personal value has a canary in it, and the line's features."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from tests.toy.line import ToyFactory

CANARY = "Zaubermaus"
"""Part of every person's value in the files."""
VISITS = {"north": 300, "south": 240}
PEOPLE = 60
FIRST = datetime(2024, 1, 1, tzinfo=UTC)


def person(number: int) -> str:
    """Return a person's number at the hospital."""
    return f"{CANARY}-P{number:04}"


def visit(clinic: str, number: int) -> str:
    """Return a visit's number, which has the person's in it."""
    return f"{CANARY}-{clinic}-{number:05}"


def visits() -> pl.DataFrame:
    """Return the visits of all clinics, as their system has them."""
    parts = []
    for clinic, rows in VISITS.items():
        chance = np.random.default_rng(sum(clinic.encode()))
        ahead, who = chance.uniform(0, 60, rows), chance.integers(0, PEOPLE, rows)
        missed = chance.uniform(size=rows) < 1 / (1 + np.exp(-((ahead - 30) / 4 + (age(who) - 50) / 20)))
        moments = [FIRST + timedelta(days=59 * number / rows) for number in range(rows)]
        parts.append(
            pl.DataFrame(
                {
                    "clinic": [clinic] * rows,
                    "visit": [visit(clinic, number) for number in range(rows)],
                    "booked_at": [moment.isoformat() for moment in moments],
                    "person": [person(number) for number in who],
                    "name": [f"Anna {CANARY} {number}" for number in who],
                    "phone": [f"+49 {CANARY} {number}" for number in who],
                    "days_ahead": [f"{days:.3f}" for days in ahead],
                    "missed": ["true" if one else "false" for one in missed],
                }
            )
        )
    return pl.concat(parts)


def age(numbers: np.ndarray) -> np.ndarray:
    """Return the ages of people by their numbers."""
    return 20 + (numbers * 7) % 60


def people() -> pl.DataFrame:
    """Return the people, as another system has them: with a blank behind some numbers."""
    numbers = np.arange(PEOPLE)
    return pl.DataFrame(
        {
            "person": [f"{person(number)}{' ' * (number % 2)}" for number in numbers],
            "email": [f"{CANARY}{number}@example.com" for number in numbers],
            "age": age(numbers),
        }
    )


def unchanged(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Leave rows as they are."""
    return rows


def build(tables: Mapping[str, pl.LazyFrame]) -> pl.LazyFrame:
    """Return what is known when a visit is booked, the person's age among it."""
    return (
        tables["visits"]
        .join(tables["people"].select("person", "age"), on="person", how="left")
        .select(
            "site",
            "visit",
            pl.col("booked_at").alias("decided_at"),
            pl.col("missed").cast(pl.Float32).alias("label"),
            *(pl.col(name).cast(pl.Float32) for name in ("days_ahead", "age")),
        )
    )


class Clinics(ToyFactory):
    """The line about visits, on files in a folder beside its home."""

    name, file = "clinics", Path(__file__).parent / "defs.yaml"

    @property
    def files(self) -> Path:
        """The folder of the source's files."""
        return self.home.parent / f"{self.home.name}-files"

    def deliver(self, of_visits: pl.DataFrame | None = None, of_people: pl.DataFrame | None = None) -> None:
        """Write the source's files."""
        self.files.mkdir(parents=True, exist_ok=True)
        (visits() if of_visits is None else of_visits).write_csv(self.files / "visits.csv")
        (people() if of_people is None else of_people).write_csv(self.files / "people.csv")

    def source(self, **places: str) -> dict[str, object]:
        """Return the source's arguments; `places` are those of tables that lie elsewhere in the folder."""
        at = {"visits": "visits.csv", "people": "people.csv", **places}
        return {"root": str(self.files), "tables": {name: {"at": place} for name, place in at.items()}}
