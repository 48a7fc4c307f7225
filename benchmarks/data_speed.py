"""Cleaning and features of January to April: ours against pandas, and against Polars without contract and account.

    python benchmarks/data_speed.py [--rounds 3]

All three start from the same raw rows in memory and end with the same feature table; before anything is timed, the
tables are compared: pandas column by column within 0.01 (Float32 against Float64), bare Polars exactly. Rounds are
interleaved, medians compared. pandas judges the same row rules as masks; each of its windows is a running sum read off
by two `merge_asof`, its fastest way to windows that end at the decision rather than at an event.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.the_line import departure_delay  # noqa: E402  found through the line above
from factory.compute.engine import FrameEngine  # noqa: E402
from factory.data.cleaning import clean  # noqa: E402
from factory.data.contract.compiler import compile_contract  # noqa: E402
from factory.data.contract.typing import typed_rows  # noqa: E402
from factory.line.line import Table  # noqa: E402
from lines.departure_delay import punctuality as words  # noqa: E402
from lines.departure_delay.clean import HOURS_WEST, NO_DAYLIGHT_SAVING  # noqa: E402
from lines.departure_delay.features import FEATURES, KEY, build  # noqa: E402

THE_LINE, SOURCE = departure_delay()
UNTIL = THE_LINE.default_until
TABLES = tuple(THE_LINE.tables)
LINE = "lines/departure_delay/defs.yaml"
ENGINE = FrameEngine("cpu")
OUT = [*KEY, "decided_at", "label", *FEATURES]

Frames = dict[str, pl.DataFrame]
PandasFrames = dict[str, pd.DataFrame]


def table(name: str) -> Table:
    """Return a table of the line as its file declares it."""
    return THE_LINE.tables[name]


def raw_rows(name: str) -> pl.DataFrame:
    """Return a raw table as the lake keeps it."""
    rows = pl.concat(list(SOURCE.read(table(name), site=None, after=None, until=UNTIL)))
    site = pl.col("carrier") if name == "flights" else pl.lit("_line")
    load = pl.lit(1, dtype=pl.Int64).alias("_load")
    return rows.with_columns(site.alias("site"), load, pl.int_range(pl.len(), dtype=pl.Int64).alias("_row"))


def ours(raw: Frames) -> pl.DataFrame:
    """Clean with contract, quarantine and account, then build, as the line does."""
    cleaned = {}
    for name, rows in raw.items():
        declared = table(name)
        contract = compile_contract(declared.contract, columns=declared.columns, place=LINE)
        cleaned[name] = clean(rows.lazy(), declared, contract, ENGINE).accepted.lazy()
    return ENGINE.collect(build(cleaned))


def typed(raw: Frames) -> Frames:
    """Return raw tables in their declared types, which a reader that types gives at once."""
    return {
        name: typed_rows(rows.lazy(), table(name), ()).select([*table(name).columns, "site", "_load", "_row"]).collect()
        for name, rows in raw.items()
    }


def bare_polars(raw: Frames, refused: Frames) -> pl.DataFrame:
    """Take the newest row of each key, leave out the rows that ours refuses, repair and build; nothing is counted."""
    cleaned = {}
    for name, rows in raw.items():
        declared = table(name)
        newest = rows.lazy().unique(list(declared.key), keep="last").join(refused[name].lazy(), on="_row", how="anti")
        cleaned[name] = declared.repair(newest.drop("_load", "_row")).collect(engine="streaming").lazy()
    return build(cleaned).collect(engine="streaming")


def in_pandas(raw: PandasFrames) -> pd.DataFrame:
    """Do all of it the way a good pandas user would."""
    kept = {name: judged(rows, name) for name, rows in raw.items()}
    flights = timed_flights(kept["flights"])
    parts = [flights, pandas_schedule(flights), *pandas_punctuality(flights)]
    parts += [pandas_weather(flights, kept["weather"]), pandas_aircraft(flights, kept["planes"])]
    wide = pd.concat([part[[name for name in part if name in OUT]] for part in parts], axis=1)
    return wide.loc[:, ~wide.columns.duplicated()].sort_values(["decided_at", *KEY], ignore_index=True)[OUT]


def judged(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """Drop older versions of a key, and rows that break a row rule of the contract."""
    rows = rows.drop_duplicates(list(table(name).key), keep="last")
    good = np.ones(len(rows), dtype=bool)
    for rule in table(name).contract:
        good &= obeyed(rows, rule.type, rule.kwargs)
    return rows[good]


def obeyed(rows: pd.DataFrame, kind: str, said: dict[str, object]) -> np.ndarray:
    """Return which rows obey one rule; a null obeys all but the rule against nulls."""
    if "pair_values" in kind:
        first, second = rows[said["column_A"]], rows[said["column_B"]]
        return ((first >= second) | first.isna() | second.isna()).to_numpy()
    if "column_value" not in kind:
        return np.ones(len(rows), dtype=bool)
    column = rows[said["column"]]
    if kind.endswith("not_be_null"):
        return column.notna().to_numpy()
    if kind.endswith("in_set"):
        obeys = column.isin(said["value_set"])
    elif kind.endswith("match_regex"):
        obeys = column.str.contains(said["regex"], na=True)
    elif kind.endswith("lengths_to_equal"):
        obeys = column.str.len() == said["value"]
    else:
        obeys = column.between(said.get("min_value", -np.inf), said.get("max_value", np.inf))
    return (obeys | column.isna()).to_numpy(dtype=bool)


def timed_flights(rows: pd.DataFrame) -> pd.DataFrame:
    """Add moments in UTC and the decision's moment."""
    flights = rows.sort_values(list(KEY), ignore_index=True)

    def minutes(count: pd.Series) -> pd.Series:
        return pd.to_timedelta(count, unit="m").dt.as_unit("us")

    def clock(name: str) -> pd.Series:
        return flights[name] // 100 * 60 + flights[name] % 100

    behind_utc = (flights["time_hour"].dt.hour - flights["sched_dep_time"] // 100) % 24
    west = {dest: hours for hours, places in HOURS_WEST.items() for dest in places.split()}
    behind = flights["dest"].map(west).fillna(0).astype("int64")
    behind += (behind_utc == 4) & flights["dest"].isin(NO_DAYLIGHT_SAVING.split())
    block = (clock("sched_arr_time") - clock("sched_dep_time") + 60 * behind - 20) % 1440 + 20
    due = flights["time_hour"] + minutes(flights["sched_dep_time"] % 100)
    label = (flights["dep_delay"] > 15).astype("float32").where(flights["dep_delay"].notna())
    return flights.assign(
        due=due,
        decided_at=(due - pd.Timedelta(hours=2)).dt.as_unit("us"),
        left_at=due + minutes(flights["dep_delay"]),
        landed_at=due + minutes(block + flights["arr_delay"]),
        sched_block_min=block,
        weekday=(due - pd.to_timedelta(behind_utc, unit="h")).dt.dayofweek + 1,
        label=label,
        distance_km=flights["distance"] * 1.609344,
    )


def pandas_schedule(flights: pd.DataFrame) -> pd.DataFrame:
    """Return what the timetable says."""
    hour = flights["hour"] + flights["sched_dep_time"] % 100 / 60
    return pd.DataFrame(
        {
            "local_hour": hour,
            "day_sin": np.sin(hour * 2 * np.pi / 24),
            "day_cos": np.cos(hour * 2 * np.pi / 24),
            "weekend": flights["weekday"] >= 6,
            **{f"origin_{name.lower()}": flights["origin"] == name for name in ("EWR", "JFK", "LGA")},
            "origin_hour_departures": flights.groupby(["origin", "time_hour"])["flight"].transform("size"),
            "carrier_hour_departures": flights.groupby(["origin", "carrier", "time_hour"])["flight"].transform("size"),
        }
    )


def running(events: pd.DataFrame, by: list[str], values: list[str]) -> pd.DataFrame:
    """Return running sums by group, in order of time."""
    events = events.sort_values("at", kind="stable", ignore_index=True)
    return events[[*by, "at"]].join(events.groupby(by)[values].cumsum())


def read_off(asked: pd.DataFrame, sums: pd.DataFrame, by: list[str], back: pd.Timedelta) -> pd.DataFrame:
    """Return the running sums as they stood `back` before each decision, in the order of the flights."""
    points = asked[[*by, "at"]].assign(at=(asked["at"] - back).dt.as_unit("us"))
    found = pd.merge_asof(points, sums, on="at", by=by, allow_exact_matches=False)
    return found.drop(columns=[*by, "at"]).fillna(0).set_axis(asked.index).sort_index()


def pandas_punctuality(flights: pd.DataFrame) -> list[pd.DataFrame]:
    """Return means over windows, and who is overdue."""
    asked = flights.assign(at=flights["decided_at"]).sort_values("at")
    left = flights.assign(at=flights["left_at"], left=1, late=(flights["dep_delay"] > 15).astype("int64"))
    left = left.assign(delay=flights["dep_delay"].clip(*words.DELAY_RANGE_MIN)).dropna(subset="at")
    landed = flights.assign(at=flights["landed_at"], landed=1).dropna(subset="at")
    landed = landed.assign(arrival_delay=landed["arr_delay"].clip(*words.DELAY_RANGE_MIN))
    due, minute = flights["due"], flights["due"].astype("int64") // 60_000_000
    over = np.maximum(
        flights["left_at"].fillna(due + words.WAITED_FOR).clip(upper=due + words.WAITED_FOR), due
    ).dt.as_unit("us")
    waiting = pd.concat(flights.assign(at=at, overdue=sign, since=sign * minute) for at, sign in ((due, 1), (over, -1)))
    kinds = {"left": (left, ["left", "late", "delay"]), "landed": (landed, ["landed", "arrival_delay"])}
    parts = []
    sums = {}
    for name, mean in words.MEANS.items():
        by = list(mean.by)
        if (mean.by, mean.per) not in sums:
            sums[mean.by, mean.per] = running(kinds[mean.per][0], by, kinds[mean.per][1])
        stand, nothing = sums[mean.by, mean.per], pd.Timedelta(0)
        total = read_off(asked, stand, by, nothing) - read_off(asked, stand, by, pd.Timedelta(mean.over))
        parts.append((total[mean.of] / total[mean.per].replace(0, np.nan)).to_frame(name))
    for name, whose in words.OVERDUE.items():
        found = read_off(asked, running(waiting, list(whose), ["overdue", "since"]), list(whose), pd.Timedelta(0))
        now = flights["decided_at"].astype("int64") // 60_000_000
        parts.append(pd.DataFrame({name: found["overdue"], f"{name}_min": now * found["overdue"] - found["since"]}))
    return parts


def pandas_weather(flights: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the last observation before the decision, six hours old at most."""
    then = rows[["origin", "time_hour", "pressure"]].assign(
        time_hour=(rows["time_hour"] + pd.Timedelta(hours=3)).dt.as_unit("us")
    )
    weather = rows.merge(then, on=["origin", "time_hour"], how="left", suffixes=("", "_then"))
    weather = pd.DataFrame(
        {
            "origin": weather["origin"],
            "at": weather["time_hour"],
            "humidity_pct": weather["humid"],
            "wind_mps": weather["wind_speed"] * 0.44704,
            "gust_mps": weather["wind_gust"] * 0.44704,
            "precipitation_mm": weather["precip"] * 25.4,
            "visibility_km": weather["visib"] * 1.609344,
            "pressure_trend_hpa": weather["pressure"] - weather["pressure_then"],
        }
    ).sort_values("at")
    asked = flights[["origin"]].assign(at=flights["decided_at"]).sort_values("at")
    limit = pd.Timedelta(hours=6)
    found = pd.merge_asof(asked, weather, on="at", by="origin", tolerance=limit, allow_exact_matches=False)
    return found.set_axis(asked.index).sort_index().drop(columns=["origin", "at"])


def pandas_aircraft(flights: pd.DataFrame, planes: pd.DataFrame) -> pd.DataFrame:
    """Return where the aircraft's previous departure stands."""
    legs = flights.dropna(subset="tailnum").sort_values(["tailnum", "due", "carrier", "flight"])
    before = legs.groupby("tailnum")[
        ["due", "left_at", "landed_at", "sched_block_min", "dep_delay", "arr_delay"]
    ].shift(1)
    now, minutes = legs["decided_at"], lambda length: length.dt.total_seconds() / 60
    left, landed = before["left_at"] < now, before["landed_at"] < now
    overdue = (before["due"] < now) & ~left
    so_far = before["dep_delay"].where(left, minutes(now - before["due"]).where(overdue))
    behind = before["arr_delay"].where(landed, so_far).fillna(0).clip(-60, 400)
    gap = minutes(legs["due"] - before["due"])
    slack, recent = gap - 2 * before["sched_block_min"], gap < 1440
    known = legs[["tailnum"]].merge(planes.drop_duplicates("tailnum"), on="tailnum", how="left").set_axis(legs.index)
    found = pd.DataFrame(
        {
            "aircraft_gap_min": gap.clip(0, 2880),
            "aircraft_slack_min": slack.clip(-300, 1440),
            "aircraft_slack_left_min": (slack - behind).clip(-300, 1440),
            "aircraft_delay_min": so_far.clip(-60, 400).where(recent),
            "aircraft_arrival_delay_min": before["arr_delay"].clip(-60, 400).where(recent & landed),
            "aircraft_overdue": (recent & overdue).astype("float64").where(gap.notna()),
            "aircraft_leg_of_day": legs.groupby(["tailnum", "year", "month", "day"]).cumcount() + 1,
            "aircraft_age_years": legs["year"] - known["year"],
            "aircraft_seats": known["seats"],
        }
    )
    return found.reindex(flights.index)


def require_equal(mine: pl.DataFrame, theirs: pd.DataFrame) -> None:
    """Raise AssertionError naming the first column in which the two feature tables differ."""
    assert len(mine) == len(theirs)
    for name in (*KEY, *FEATURES, "label"):
        other = pl.Series(name, theirs[name].to_numpy(), nan_to_null=True)
        if mine.schema[name] == pl.Float32:
            left, right = mine[name].cast(pl.Float64).to_numpy(), other.cast(pl.Float64).to_numpy()
            np.testing.assert_allclose(left, right, rtol=1e-5, atol=0.01, equal_nan=True, err_msg=name)
        else:
            assert mine[name].cast(pl.String).equals(other.cast(pl.String)), name


def medians(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each contender over interleaved rounds."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def main() -> None:
    """Compare, then time, then print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    raw = {name: raw_rows(name) for name in TABLES}
    refused = {}
    for name, rows in raw.items():
        contract = compile_contract(table(name).contract, columns=table(name).columns, place=LINE)
        refused[name] = clean(rows.lazy(), table(name), contract, ENGINE).quarantine.select("_row")
    as_typed = typed(raw)
    in_frames = {name: pd.DataFrame(rows.to_dict(as_series=False)) for name, rows in as_typed.items()}
    mine = ours(raw)
    assert mine.equals(bare_polars(as_typed, refused)), "bare Polars gives another table"
    require_equal(mine, in_pandas(in_frames))
    print(f"{len(mine)} rows, {len(FEATURES)} features: all three agree")
    seconds = medians(
        {
            "ours": lambda: ours(raw),
            "bare polars": lambda: bare_polars(as_typed, refused),
            "pandas": lambda: in_pandas(in_frames),
        },
        rounds,
    )
    for name, taken in seconds.items():
        print(f"{name:12s} {taken:7.2f} s   {taken / seconds['ours']:.2f} of ours")
    against_pandas, against_bare = seconds["pandas"] / seconds["ours"], seconds["ours"] / seconds["bare polars"]
    print(f"pandas / ours = {against_pandas:.1f}; ours / bare polars = {against_bare:.2f}")


if __name__ == "__main__":
    main()
