"""A made-up company of sixteen plants: five tables as plants have them, and the truth behind them, from a seed.

NOTHING IN HERE WAS MEASURED ANYWHERE. The tables are made so that a line of many tables can be shown and judged: the
simulator knows how probable each failure was, and so what the best possible model would earn (`truth.parquet`, which
no line reads).

The world: a machine has four components. Each wears from its replacement on, at a rate that differs from life to life
and by model and plant, and nobody sees. Wear shows in one sensor each, under noise, season and load, and in errors,
which are logged more often as it grows. The hazard of failing rises steeply with wear. A component is replaced when it
fails, and every so often by plan. Systems err as systems do: readings are missing, come twice, or say -999; a gateway
sends readings of a test bench that no machine is; failures are entered up to two days after they happened.

    python -m lines.machine_failures.simulator FOLDER [--seed 7]
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

PLANTS: Mapping[str, int] = {
    "Aachen": 88, "Bremen": 60, "Chemnitz": 46, "Dresden": 36, "Erfurt": 30, "Freiburg": 24, "Graz": 20, "Hagen": 16,
    "Ingolstadt": 14, "Jena": 12, "Kiel": 10, "Linz": 8, "Mainz": 6, "Neuss": 5, "Oldenburg": 4, "Passau": 3,
}  # fmt: skip
"""Sixteen plants, each with its number of machines: a few have many, many have few."""
COMPONENTS = ("bearing", "drive", "hydraulics", "control")
"""What wears, in the order of SENSORS."""
SENSORS = ("vibration_mm_s", "temperature_c", "pressure_bar", "voltage_v")
MODELS = ("P100", "P200", "X1", "X2")
ERRORS = ("E10", "E20", "E30", "E40")
"""Codes of errors, one a component."""
TEST_BENCH = "TEST-000"
BEGIN, END = datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
STEP = timedelta(hours=6)
HORIZON = timedelta(days=7)
DECIDED_AT_HOUR = 6

_LIFE_DAYS = np.array([120.0, 150.0, 180.0, 240.0])
"""Days until the typical component has worn down."""
_BASE = np.array([2.0, 55.0, 160.0, 400.0])
_NOISE = np.array([0.3, 2.0, 3.0, 4.0])
_SIGN = np.array([1.0, 1.0, -1.0, 1.0])
_SHOWS = np.array([4.0, 18.0, 30.0, 28.0])
"""How far a sensor is from its base at full wear."""
_GLITCH = -999.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class World:
    """The five tables, and the truth: of each machine and morning how probable a failure within a week is."""

    tables: Mapping[str, pl.DataFrame]
    truth: pl.DataFrame


def simulated(seed: int = 7, plants: Mapping[str, int] = PLANTS, end: datetime = END) -> World:
    """Return the world of a seed; the same seed gives the same rows, whatever the end they are seen at."""
    random = np.random.default_rng(seed)
    machines = _machines(random, plants)
    history = _history(np.random.default_rng(seed + 1), machines, (END - BEGIN) // STEP)
    names = machines["machine_id"].to_numpy()
    tables = {
        "machines": machines.drop("speed"),
        "telemetry": _telemetry(np.random.default_rng(seed + 2), machines, history),
        "errors": _errors(np.random.default_rng(seed + 3), names, history),
        "maintenance": history.maintenance,
        "failures": history.failures,
    }
    cursors = {"telemetry": "read_at", "errors": "logged_at", "maintenance": "done_at", "failures": "failed_at"}
    seen = {name: tables[name].filter(pl.col(cursor) < end) for name, cursor in cursors.items()}
    return World(tables={**tables, **seen}, truth=_truth(machines, history).filter(pl.col("decided_at") < end))


@dataclass(frozen=True, kw_only=True)
class _History:
    """What happened, by step and machine and component."""

    wear: Floats
    """`[steps, machines, components]` at the step's beginning."""
    rate: Floats
    """How much of its wear a component gains in the step."""
    is_down: NDArray[np.bool_]
    """`[steps, machines]`."""
    planned: NDArray[np.bool_]
    """`[steps, machines, components]`: replaced by plan at the step's end."""
    maintenance: pl.DataFrame
    failures: pl.DataFrame


def _machines(random: np.random.Generator, plants: Mapping[str, int]) -> pl.DataFrame:
    """Return master data, and `speed`: how fast a machine wears, which no system knows."""
    plant = np.repeat(list(plants), list(plants.values()))
    number = np.concatenate([np.arange(1, count + 1) for count in plants.values()])
    count, model = len(plant), random.integers(0, len(MODELS), len(plant))
    installed = BEGIN + np.array([timedelta(days=int(days)) for days in random.integers(-3000, -200, count)])
    is_new, is_leaving = random.random(count) < 0.08, random.random(count) < 0.04
    later = BEGIN + np.array([timedelta(days=int(days)) for days in random.integers(60, 420, count)])
    installed = np.where(is_new, later, installed)
    retired = [later[row] + timedelta(days=90) if is_leaving[row] and not is_new[row] else None for row in range(count)]
    of_plant = dict(zip(plants, random.lognormal(0.0, 0.15, len(plants)), strict=True))
    speed = np.array([of_plant[name] for name in plant]) * np.array([0.85, 1.0, 1.1, 1.3])[model]
    return pl.DataFrame(
        {
            "machine_id": [f"{name[:3].upper()}-{one:03d}" for name, one in zip(plant, number, strict=True)],
            "plant": plant,
            "model": np.array(MODELS)[model],
            "rated_kw": random.choice([15, 30, 55, 90], count),
            "installed_on": [day.date() for day in installed],
            "retired_on": pl.Series([day and day.date() for day in retired], dtype=pl.Date),
            "speed": speed,
        }
    )


def _hazard(wear: Floats) -> Floats:
    """Return the probability, per step, that a component fails at its wear."""
    return 1.0 - np.exp(-(1e-5 + 0.06 * np.clip(wear, 0.0, 1.6) ** 8))


def _history(random: np.random.Generator, machines: pl.DataFrame, steps: int) -> _History:
    """Let the machines run, step by step."""
    count, parts = len(machines), len(COMPONENTS)
    speed = machines["speed"].to_numpy()[:, None] * (STEP / timedelta(days=1)) / _LIFE_DAYS
    first, last = (_steps_of(machines[name], default) for name, default in (("installed_on", 0), ("retired_on", steps)))
    rate = speed * random.lognormal(0.0, 0.35, (count, parts))
    wear = random.random((count, parts)) * 0.8 * (first <= 0)[:, None]
    down = np.zeros(count, dtype=int)
    wears, rates = np.empty((steps, count, parts)), np.empty((steps, count, parts))
    is_down, planned = np.zeros((steps, count), dtype=bool), np.zeros((steps, count, parts), dtype=bool)
    done: list[tuple[int, int, int, str]] = []
    every = random.integers(85, 130, (count, parts)) * (timedelta(days=1) // STEP)
    offset = random.integers(0, 130 * 4, (count, parts))
    failed: list[tuple[int, int, int]] = []
    for step in range(steps):
        there = (first <= step) & (step < last)
        running = there & (down == 0)
        wears[step], rates[step], is_down[step] = wear, rate, ~running
        breaks = (random.random((count, parts)) < _hazard(wear)) & running[:, None]
        wear = wear + rate * running[:, None]
        down = np.maximum(down - 1, 0)
        by_plan = ((step + offset) % every == 0) & there[:, None] & ~breaks & (random.random((count, parts)) < 0.6)
        planned[step] = by_plan
        for machine, part in np.argwhere(breaks):
            failed.append((step, int(machine), int(part)))
            down[machine] = int(random.integers(2, 9))
            done.append((step + int(down[machine]), int(machine), int(part), "corrective"))
        done.extend((step, int(machine), int(part), "planned") for machine, part in np.argwhere(by_plan))
        renewed = breaks | by_plan
        wear = np.where(renewed, 0.0, wear)
        rate = np.where(renewed, speed * random.lognormal(0.0, 0.35, (count, parts)), rate)
    names = machines["machine_id"].to_numpy()
    return _History(
        wear=wears,
        rate=rates,
        is_down=is_down,
        planned=planned,
        maintenance=_maintenance(random, names, done),
        failures=_failures(random, names, failed),
    )


def _steps_of(days: pl.Series, default: int) -> NDArray[np.int64]:
    begin = BEGIN.date()
    steps = [default if day is None else (day - begin) // timedelta(days=1) * 4 for day in days]
    return np.array(steps, dtype=np.int64)


def _moments(random: np.random.Generator, steps: NDArray[np.int64]) -> list[datetime]:
    """Return a moment within each step, to the second."""
    seconds = random.integers(1, int(STEP.total_seconds()), len(steps))
    return [BEGIN + int(step) * STEP + timedelta(seconds=int(one)) for step, one in zip(steps, seconds, strict=True)]


def _maintenance(
    random: np.random.Generator, names: NDArray[np.str_], done: list[tuple[int, int, int, str]]
) -> pl.DataFrame:
    done = sorted(done)
    return pl.DataFrame(
        {
            "order_id": [f"40{number:06d}" for number in range(1, len(done) + 1)],
            "machine_id": names[[machine for _, machine, _, _ in done]],
            "component": [COMPONENTS[part] for _, _, part, _ in done],
            "order_type": [kind for *_, kind in done],
            "done_at": _moments(random, np.array([step for step, *_ in done])),
        }
    )


def _failures(random: np.random.Generator, names: NDArray[np.str_], failed: list[tuple[int, int, int]]) -> pl.DataFrame:
    moments = _moments(random, np.array([step for step, *_ in failed]))
    delays = [timedelta(minutes=int(minutes)) for minutes in random.integers(10, 2 * 24 * 60, len(failed))]
    return pl.DataFrame(
        {
            "failure_id": [f"F{number:06d}" for number in range(1, len(failed) + 1)],
            "machine_id": names[[machine for _, machine, _ in failed]],
            "component": [COMPONENTS[part] for *_, part in failed],
            "failed_at": moments,
            "entered_at": [moment + delay for moment, delay in zip(moments, delays, strict=True)],
        }
    ).sort("failed_at")


def _telemetry(random: np.random.Generator, machines: pl.DataFrame, history: _History) -> pl.DataFrame:
    """Return a reading of each running machine and step, as the plants' gateways send them."""
    steps, count, _ = history.wear.shape
    days = np.arange(steps) / 4
    season = 4.0 * np.sin((days - 100) * 2 * np.pi / 365)[:, None]
    load = np.clip(random.normal(0.7, 0.12, (steps, count)), 0.2, 1.0)
    shift = random.normal(0, 1.0, (count, len(SENSORS))) * _NOISE * 0.5
    shown = np.clip(history.wear, 0, 1.5) ** 2 * _SHOWS * _SIGN
    values = _BASE + shift + shown + random.normal(0, 1, history.wear.shape) * _NOISE
    values[:, :, 1] += season + 8 * (load - 0.7)
    values[:, :, 0] *= 0.8 + 0.3 * load
    is_there = ~history.is_down & (random.random((steps, count)) > 0.03)
    step, machine = np.nonzero(is_there)
    at = np.datetime64(BEGIN.replace(tzinfo=None), "us") + np.arange(steps) * np.timedelta64(STEP)
    readings = np.where(random.random((len(step), len(SENSORS))) < 0.0005, _GLITCH, values[step, machine])
    rows = pl.DataFrame(
        {
            "machine_id": machines["machine_id"].to_numpy()[machine],
            "read_at": pl.Series(at[step]).dt.replace_time_zone("UTC"),
            **{name: readings[:, place].round(2) for place, name in enumerate(SENSORS)},
            "load": load[step, machine].round(3),
        }
    )
    twice = rows.filter(pl.Series(random.random(len(rows)) < 0.002))
    bench = pl.concat([rows.head(1)] * 40).with_columns(
        pl.lit(TEST_BENCH).alias("machine_id"),
        pl.Series("read_at", [BEGIN + timedelta(days=7 * number) for number in range(40)], rows.schema["read_at"]),
    )
    return pl.concat([rows, twice, bench]).sort("read_at", maintain_order=True)


def _errors(random: np.random.Generator, names: NDArray[np.str_], history: _History) -> pl.DataFrame:
    """Return errors, which wear makes more frequent; most of them mean nothing."""
    expected = (0.008 + 0.5 * np.clip(history.wear, 0, 1.5) ** 5) * ~history.is_down[:, :, None]
    step, machine, part = np.nonzero(random.poisson(expected))
    severe = random.random(len(step)) < np.clip(history.wear[step, machine, part], 0.1, 0.8)
    rows = pl.DataFrame(
        {
            "machine_id": names[machine],
            "logged_at": pl.Series(_moments(random, step), dtype=pl.Datetime("us", "UTC")),
            "code": np.array(ERRORS)[part],
            "severity": np.where(severe, "high", "low"),
        }
    ).sort("logged_at")
    return rows.with_row_index("error_no", offset=1).with_columns(pl.col("error_no").cast(pl.Int64))


def _truth(machines: pl.DataFrame, history: _History) -> pl.DataFrame:
    """Return, of each machine in service and morning, the probability that it fails within HORIZON.

    Of a machine that does not fail before, and of what is planned: a part that is replaced is as good as new.
    """
    steps, count, parts = history.wear.shape
    ahead, first = HORIZON // STEP, DECIDED_AT_HOUR // 6
    mornings = range(first, steps - ahead, 4)
    p = np.empty((len(mornings), count))
    for row, morning in enumerate(mornings):
        wear, kept = history.wear[morning].copy(), np.ones((count, parts))
        rate = history.rate[morning]
        for step in range(morning, morning + ahead):
            kept *= 1.0 - _hazard(wear)
            renewed = history.planned[step]
            wear = np.where(renewed, 0.0, wear + rate)
            rate = np.where(renewed, 0.0, rate)
        p[row] = 1.0 - kept.prod(axis=1)
    moments = pl.Series([BEGIN + step * STEP for step in mornings], dtype=pl.Datetime("us", "UTC"))
    return pl.DataFrame(
        {
            "machine_id": np.tile(machines["machine_id"].to_numpy(), len(mornings)),
            "decided_at": moments.gather(np.repeat(np.arange(len(mornings)), count)),
            "probability": p.ravel(),
        }
    )


def write(folder: Path, seed: int = 7, plants: Mapping[str, int] = PLANTS, end: datetime = END) -> World:
    """Write each table, and the truth, as a Parquet file in a folder; return them."""
    world = simulated(seed, plants, end)
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in {**world.tables, "truth": world.truth}.items():
        beside = folder / f".{name}.parquet"
        rows.write_parquet(beside)
        beside.rename(folder / f"{name}.parquet")
    return world


def main() -> None:
    """Write the tables into the folder that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    write(arguments.folder, arguments.seed)


if __name__ == "__main__":
    main()
