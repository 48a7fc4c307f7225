"""Promises of `factory new line`: from tables nobody here made, lines that load and run on their data."""

import math
import random
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from factory.data.ingest import ingest
from factory.errors import LineError, NameRefused, SourceError
from factory.line.split import EntitySplit, TimeSplit
from factory.storage.lake import Lake
from tests.scaffold.lines import cleaned, features, importable, loaded, project, written
from tests.scaffold.others import OTHERS, riots, stocks, weather

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def root(tmp_path):
    return project(tmp_path / "project")


def csv(root, text, name="table.csv"):
    path = root / name
    path.write_text(text)
    return path


def new(root, text, target="y", **named):
    return written(root, "made", csv(root, text), target, **named)


def rows(count, row, head):
    return "\n".join([head, *(row(number) for number in range(count))])


def readme(root, name="made"):
    return (root / "lines" / name / "README.md").read_text()


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """A project with a line of each of the others' tables, and what was said of each as it was written."""
    root = project(tmp_path_factory.mktemp("others") / "project")
    told = {
        name: written(
            root, name, other.write(root), other.target, site=other.site, time=other.time, entity=other.entity
        )
        for name, other in OTHERS.items()
    }
    return root, told


@pytest.mark.parametrize("name", OTHERS)
def test_a_line_from_any_table_loads_and_its_contract_and_features_run(name, others):
    other, root, made = OTHERS[name], others[0], others[1][name]
    with importable(root):
        line, source = loaded(root, name)
        found = cleaned(line, source)
        rows = features(line, found)
    assert line.task.kind == other.task
    assert sum(counts.raw for counts in found.counts.values()) == made.plan.profile.rows
    for result in found.contract.values():
        assert result.share >= line.gates.min_contract_share
        assert result.success, [check.name for check in result.checks if not check.success]
    assert len(rows) == sum(counts.clean for counts in found.counts.values())
    assert set(line.features.columns) < set(rows.columns)
    assert all(rows[column].dtype == pl.Float32 for column in line.features.columns)
    parts = line.parts(rows, line.default_until)
    for part in (parts.train, parts.validation, parts.holdout):
        assert line.task.flaw(line.task.codes(part["label"])) is None


def test_what_is_written_passes_the_projects_own_checks(others):
    root, _ = others
    (root / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    # The library is the project's own, where these checks are made.
    (root / "factory" / "features").mkdir(parents=True, exist_ok=True)
    (root / "factory" / "features" / "windows.py").touch()
    for check in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *check, "lines"], cwd=root, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


def test_next_quarters_rows_keep_the_contract_fitted_to_the_quarters_before(root):
    whole = pl.read_csv(weather(root))
    path = root / "weather.csv"
    whole.head(len(whole) - 90).write_csv(path)
    written(root, "weather", path, "weather", time="date")
    whole.write_csv(path)
    with importable(root):
        line, source = loaded(root, "weather")
        result = cleaned(line, source, datetime(2016, 1, 1)).contract["all"]
    assert result.rows == len(whole)
    assert result.share >= line.gates.min_contract_share
    assert result.success


@pytest.mark.parametrize(
    ("known", "odd", "labels"),
    [
        ([0, 1], 2, [0.0, 1.0]),
        ([1.0, 2.0], 9.0, [0.0, 1.0]),
        (["<=50K", ">50K"], ">50K.", [0.0, 1.0]),
        (["a", "b", "c"], "d", ["a", "b", "c"]),
        ([3, 4, 5], 6, ["3", "4", "5"]),
    ],
)
def test_a_code_that_the_table_did_not_have_is_quarantined_and_has_no_label_without_the_rule(root, known, odd, labels):
    def table(values):
        rows = {"id": range(len(values)), "size": [place * 7 % 31 + 0.5 for place in range(len(values))]}
        pl.DataFrame({**rows, "outcome": values}).write_parquet(root / "table.parquet")

    values = [known[place * place % 7 % len(known)] for place in range(200)]
    table(values)
    written(root, "codes", root / "table.parquet", "outcome")
    table([*values, *[odd] * 5])
    with importable(root):
        line, source = loaded(root, "codes")
        found = cleaned(line, source)
        assert found.quarantine["rule"].to_list() == ["outcome: values to be in set"] * 5
        rows = features(line, found)
        assert sorted(rows["label"].unique()) == labels
        told = line.features.build({line.decision_table: found.accepted.with_columns(outcome=pl.lit(odd)).lazy()})
        assert told.collect()["label"].null_count() == 200


@pytest.mark.parametrize(
    ("values", "positive"), [(["x", "y"], "x"), ([1, 2], "1"), ([True, False], "false"), (["no", "yes"], "no")]
)
def test_the_label_is_1_where_the_target_has_the_value_that_was_named(root, values, positive):
    frame = pl.DataFrame({"n": range(120), "y": [values[n % 2] for n in range(120)]}).with_columns(x=pl.col("n") % 7)
    frame.write_parquet(root / "pairs.parquet")
    made = written(root, "pairs", root / "pairs.parquet", "y", positive=positive)
    assert not made.plan.profile.task.unsure
    with importable(root):
        line, source = loaded(root, "pairs")
        rows = features(line, cleaned(line, source)).sort("n")
    yes = [float(str(value).lower() == positive) for value in values]
    assert rows["label"].to_list() == [yes[n % 2] for n in range(120)]


def test_a_guess_about_the_target_is_said_before_all_else(root):
    frame = pl.DataFrame({"x": [n * 7 % 31 for n in range(90)], "y": [1 + (n % 3 == 0) for n in range(90)]})
    frame.write_csv(root / "credit.csv")
    made = written(root, "credit", root / "credit.csv", "y")
    asked = (made.folder / "README.md").read_text().split("## What you must decide")[1].strip().splitlines()
    assert asked[0].startswith("- [ ] The target: neither 1 nor 2")
    assert "--positive 1" in asked[0]


def test_a_column_of_many_values_has_a_number_for_each_that_the_network_embeds(root):
    cities = [f"City {chr(65 + n % 40)} {n % 40}" for n in range(800)]
    frame = pl.DataFrame(
        {"city": [*cities, " City A 0 ", "Elsewhere", None, ""], "y": [n // 3 % 2 for n in range(804)], "n": range(804)}
    )
    frame.write_parquet(root / "cities.parquet")
    made = written(root, "cities", root / "cities.parquet", "y")
    with importable(root):
        line, source = loaded(root, "cities")
        rows = features(line, cleaned(line, source)).sort("n")
    assert line.recipe.category_columns == ("city_code",)
    codes = rows["city_code"].to_list()
    assert codes[:40] == codes[40:80]
    assert sorted(codes[:40]) == list(range(1, 41))
    assert codes[800:] == [codes[0], 0.0, None, None]
    flags = [feature.name for feature in made.plan.features if feature.group == "categories"]
    assert 0 < len(flags) <= 8


@pytest.mark.parametrize("entity", ["", "machine"])
def test_a_series_looks_back_on_its_own_earlier_rows_and_on_no_later_ones(root, entity):
    hours = [datetime(2026, 3, 1) + timedelta(hours=n) for n in range(24 * 30)]
    frame = pl.concat(
        pl.DataFrame(
            {"machine": name, "at": hours, "load": [(n * 37 + lift) % 101 / 7 for n in range(len(hours))]}
        ).with_columns(used=pl.Series([(n * 53 + 7 * lift) % 97 / 3 for n in range(len(hours))]))
        for lift, name in enumerate(["a", "b"] if entity else ["a"])
    )
    frame.write_parquet(root / "hours.parquet")
    made = written(root, "hours", root / "hours.parquet", "used", time="at", entity=entity)
    with importable(root):
        line, source = loaded(root, "hours")
        clean = cleaned(line, source).accepted
        rows = line.features.build({"hours": clean.lazy()}).collect()
        # Whatever is cut off after a decision changes nothing of what was known before it.
        moment = datetime(2026, 3, 20, 7, tzinfo=UTC)
        cut = clean.filter(pl.col("at_column") <= moment)
        wanted = cut.with_columns(asked=pl.col("at_column").dt.hour() == 7)
        then = line.features.build({"hours": wanted.lazy()}).collect()
    assert line.online_snapshot.days == made.plan.series.days == 7
    known = rows.filter(pl.col("decided_at") <= moment, pl.col("decided_at").dt.hour() == 7)
    assert_frame_equal(then, known, check_exact=True)
    last = frame.sort("at").filter(pl.col("machine") == "a")
    row = rows.filter(pl.col("decided_at") == moment, *([pl.col("machine") == "a"] if entity else []))
    at = last["at"].to_list().index(moment.replace(tzinfo=None))
    assert row["outcome_before"].item() == pytest.approx(last["used"][at - 1])
    assert row["load_before"].item() == pytest.approx(last["load"][at - 1])
    assert row["outcome_1d_ago"].item() == pytest.approx(last["used"][at - 24])
    assert row["outcome_mean_1d"].item() == pytest.approx(last["used"][at - 24 : at].mean(), rel=1e-5)
    assert row["load_mean_7d"].item() == pytest.approx(last["load"][at - 168 : at].mean(), rel=1e-5)


def test_an_outcome_that_comes_late_is_looked_back_on_late(root):
    days = [date(2026, 1, 1) + timedelta(days=n) for n in range(120)]
    frame = pl.DataFrame(
        {"day": days, "x": [n % 7 for n in range(120)], "y": [n * 1.5 if n < 110 else None for n in range(120)]}
    )
    frame.write_parquet(root / "late.parquet")
    written(root, "late", root / "late.parquet", "y", time="day")
    with importable(root):
        line, source = loaded(root, "late")
        rows = features(line, cleaned(line, source))
    assert rows["outcome_before"].to_list()[50] == frame["y"][50 - 11]
    assert line.label.after == timedelta(days=10)  # one length for the features, the labels and the embargo


def test_orders_that_come_at_any_time_are_no_series(root):
    chance = random.Random(3)  # noqa: S311  of a table
    at = [datetime(2026, 1, 1) + timedelta(seconds=chance.randrange(86_400 * 90)) for _ in range(500)]
    frame = pl.DataFrame(
        {"at": at, "shop": ["x", "y"] * 250, "price": range(500), "y": [n % 3 == 0 for n in range(500)]}
    )
    frame.write_parquet(root / "orders.parquet")
    made = written(root, "orders", root / "orders.parquet", "y", time="at", site="shop")
    assert made.plan.series is None


def test_personal_data_never_enters_and_is_told_of(root):
    made = written(root, "riots", riots(root), "gender")
    told = readme(root, "riots")
    assert set(made.plan.private) == {"first_name", "last_name", "address"}
    assert not {"first_name", "last_name", "address"} & set(made.plan.columns)
    for name in ("first_name", "last_name", "address"):
        assert f"`{name}` may hold" in told
    assert "Aguilar" not in "".join(place.read_text() for place in made.folder.rglob("*.*"))


def test_time_decides_the_split_and_a_key_hash_does_without(root):
    with_time = written(root, "timed", weather(root), "weather", time="date")
    without = written(root, "untimed", weather(root), "weather")
    with importable(root):
        assert isinstance(loaded(root, "timed")[0].split, TimeSplit)
        assert isinstance(loaded(root, "untimed")[0].split, EntitySplit)
    assert set(with_time.plan.split) == {"holdout", "validation"}
    assert with_time.plan.as_of == date(2016, 1, 1)
    assert "make the line again with `--time`" in readme(root, "untimed")
    assert without.plan.key == ("row_id",)


SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


@pytest.mark.parametrize("apart", [SECOND, 37 * SECOND, DAY])
def test_a_series_is_divided_by_time_however_short_it_is(root, apart):
    moments = [datetime(2024, 3, 1) + n * apart for n in range(400)]
    frame = pl.DataFrame(
        {"at": moments, "x": [n * 7 % 31 for n in range(400)], "y": [n * 3 % 5 > 2 for n in range(400)]}
    )
    frame.write_parquet(root / "ticks.parquet")
    made = written(root, "ticks", root / "ticks.parquet", "y", time="at")
    assert not made.plan.unsure_split
    with importable(root):
        line, source = loaded(root, "ticks")
        parts = line.parts(features(line, cleaned(line, source)), line.default_until)
    assert [len(part) for part in (parts.train, parts.validation, parts.holdout)] == [201, 99, 100]
    assert parts.train["decided_at"].max() < parts.validation["decided_at"].min()
    assert parts.validation["decided_at"].max() < parts.holdout["decided_at"].min()


def test_a_division_by_a_hash_of_what_may_be_a_series_is_said_in_file_and_readme(root):
    columns = {"x": [n * 7 % 31 for n in range(200)], "y": [n * 3 % 5 > 2 for n in range(200)]}
    one_day = pl.DataFrame({"at": [datetime(2026, 3, 1 + n // 100) for n in range(200)], **columns})
    one_day.write_parquet(root / "days.parquet")
    few = written(root, "few", root / "days.parquet", "y", time="at")
    unnamed = written(root, "unnamed", root / "days.parquet", "y")
    for made, what in ((few, "'at' has too few moments"), (unnamed, "Make the line again with --time 'at'")):
        assert what in made.plan.unsure_split
        assert f"# NOT SURE: {made.plan.unsure_split}" in (made.folder / "defs.yaml").read_text()
        assert "Time: " in (made.folder / "README.md").read_text()
        assert "holdout_share" in made.plan.split


@pytest.mark.parametrize("number", [False, True])
def test_a_series_without_a_time_is_told_from_rows_in_any_order(root, number):
    """Runs of like targets, as of a price that goes up for a while, beside the same rows shuffled."""
    price = [math.sin(n / 9) + (n * 7 % 11) / 30 for n in range(600)]
    target = price if number else ["UP" if value > 0 else "DOWN" for value in price]
    frame = pl.DataFrame({"x": [n * 7 % 31 for n in range(600)], "y": target})
    frame.write_csv(root / "series.csv")
    frame.sample(fraction=1, shuffle=True, seed=3).write_csv(root / "any.csv")
    assert not written(root, "any_order", root / "any.csv", "y").plan.unsure_split
    told = written(root, "series", root / "series.csv", "y").plan.unsure_split
    assert "those beside each other in the table have like targets" in told


def test_no_entity_is_on_both_sides_of_a_split_without_time(root):
    new(root, rows(400, lambda n: f"m{n // 8},{n * 7 % 31},{n % 3}", "machine,x,y"), entity="machine")
    with importable(root):
        line, source = loaded(root, "made")
        parts = line.parts(features(line, cleaned(line, source)), line.default_until)
    sides = [set(part["machine"]) for part in (parts.train, parts.validation, parts.holdout)]
    assert all(sides)
    assert sum(map(len, sides)) == len(set.union(*sides)) == 50


def test_an_existing_folder_is_never_touched(root):
    (root / "lines" / "made").mkdir()
    (root / "lines" / "made" / "mine.txt").write_text("mine")
    with pytest.raises(LineError, match="exists already"):
        new(root, rows(60, lambda n: f"{n % 7},{n % 2}", "x,y"))
    assert [place.name for place in (root / "lines" / "made").iterdir()] == ["mine.txt"]


def test_nothing_half_written_remains_when_a_table_fails(root):
    before = sorted(place.name for place in root.iterdir())
    with pytest.raises(SourceError):
        new(root, "x,y\n1,2\n1,2,3\n")
    assert list((root / "lines").iterdir()) == []
    assert sorted(place.name for place in root.iterdir()) == sorted([*before, "table.csv"])


@pytest.mark.parametrize("name", ["Flights", "my-line", "1st", "class", "../x", "a b", "", "ü"])
def test_a_name_that_is_no_package_is_refused(name, root):
    with pytest.raises(NameRefused, match="line name"):
        written(root, name, csv(root, "x,y\n1,2\n"), "y")


@pytest.mark.parametrize(
    ("text", "named", "said"),
    [
        ("amount,y\n1,2\n", {"target": "amonut"}, "did you mean 'amount'"),
        ("a,y\n1,2\n", {"target": "y", "site": "plant"}, "--site: .* no column 'plant'"),
        ("a,y\n1,2\n", {"target": "y", "time": "y"}, "named twice"),
        ("a,y\n1,5\n2,5\n", {"target": "y"}, "has one class: all 2 known values are 5"),
        ("a,y\n1,\n2,\n", {"target": "y"}, "no value in any of 2 rows"),
        ("a,y\n", {"target": "y"}, "is empty"),
        ("y,b\n1,\n2,\n", {"target": "y"}, "no column is left to learn 'y' from"),
        ("a,t,y\n1,soon,1\n2,later,0\n", {"target": "y", "time": "t"}, "holds no dates"),
    ],
)
def test_bad_input_is_one_sentence_for_a_person(text, named, said, root):
    named = dict(named)
    with pytest.raises(SourceError, match=said):
        new(root, text, named.pop("target"), **named)
    assert list((root / "lines").iterdir()) == []


def test_a_file_that_is_not_there_is_said(root):
    with pytest.raises(SourceError, match="there is no file"):
        written(root, "made", root / "nothing.csv", "y")


def test_time_that_goes_backwards_is_told_and_the_features_are_sorted(root):
    days = [f"2024-{1 + n % 12:02}-{1 + n % 28:02}" for n in range(300)]
    text = rows(300, lambda n: f"{n},m{n % 5},{days[n]},{n * 7 % 11},{n % 2}", "id,machine,day,x,y")
    new(root, text, time="day", entity="machine")
    assert "Time goes backwards at" in readme(root)
    assert "within an entity" in readme(root)
    with importable(root):
        line, source = loaded(root, "made")
        moments = features(line, cleaned(line, source))["decided_at"]
    assert moments.is_sorted()


def test_rows_that_have_not_come_yet_are_told_and_left_for_later(root):
    text = rows(300, lambda n: f"{n},{date(2026, 6, 1).fromordinal(739768 + n)},{n * 7 % 11},{n % 2}", "id,day,x,y")
    made = new(root, text, time="day")
    assert made.plan.as_of <= date(2026, 11, 25)
    assert "had not come yet on 2026-11-24" in readme(root)


def test_a_site_without_a_target_and_a_site_without_a_name_are_told(root):
    def row(n):
        return f"{['New York', 'Köln', ''][n % 3]},{n * 7 % 11},{'' if n % 3 == 1 else n % 2}"

    new(root, rows(300, row, "city,x,y"), site="city")
    told = readme(root)
    assert "No row of `Köln` has a target" in told
    assert "they are the site `unknown`" in told
    with importable(root):
        line, source = loaded(root, "made")
        assert source.sites(line.decisions, line.default_until) == ["Koln", "New_York", "unknown"]


def test_days_and_months_that_cannot_be_told_apart_are_asked_about(root):
    text = rows(200, lambda n: f"{1 + n % 12:02}/{1 + n * 5 % 12:02}/2024,{n * 7 % 11},{n % 2}", "day,x,y")
    made = new(root, text)
    assert made.plan.profile.columns["day"].shape.also
    assert "can be read as `d/m/Y` and as `m/d/Y`" in readme(root).replace("·", "")


def test_a_leak_is_no_feature_and_is_told(root):
    def row(n):
        return f"{n * 7 % 11},{'Z' if n % 2 else 'A'},{n if n % 2 else ''},{n * 5 % 13},{n % 2}"

    made = new(root, rows(400, row, "x,code,closed,result,y"))
    names = {feature.name for feature in made.plan.features}
    assert "x" in names
    assert not any(name.startswith(("code", "closed")) for name in names)
    assert "`code` tells the target almost alone" in readme(root)
    assert "`closed` is missing exactly where the target has certain values" in readme(root)
    assert "`result` sounds as if known only afterwards" in readme(root)


def test_a_different_table_under_the_same_name_is_refused_with_what_differs(root):
    written(root, "stocks", stocks(root), "price", site="symbol", time="date")
    pl.read_csv(root / "stocks.csv").rename({"price": "prices"}).write_csv(root / "stocks.csv")
    with importable(root):
        line, source = loaded(root, "stocks")
        table, lake = line.decisions, Lake(root / "lake", "stocks")
        sites = source.sites(table, line.default_until)
        read = ingest(lake, source, table, sites, line.default_until)
    assert sorted(read.failed) == sites != []
    assert "column 'price' (Float64) is lost (is it 'prices' now?)" in str(read.failed[sites[0]])
    assert not lake.has("raw/stocks")
