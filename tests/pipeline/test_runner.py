"""The runner alone, without an orchestrator: what a failing site, an unchanged one and a full disk come to."""

import errno
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from safetensors import SafetensorError

from factory.compute.isolation import Isolated
from factory.connectors.source import newest_of
from factory.errors import LakeError, LineError, SourceError
from factory.line.expectation import Expectation
from factory.line.freshness import Freshness
from factory.line.line import Table
from factory.pipeline.runner import Runner
from factory.pipeline.stages import STAGES, Step
from factory.pipeline.work import Work
from factory.storage.journal import Journal
from factory.storage.lake import Lake

DAY = datetime(2024, 3, 1)
SITES = ["east", "north", "south"]


@dataclass
class Heard:
    """Keeps factory.pipeline.runner.Listener, and what it is told."""

    begins: list = field(default_factory=list)
    mades: list = field(default_factory=list)
    fails: list = field(default_factory=list)

    def begun(self, step, todo, unchanged):
        self.begins.append((step.name, tuple(todo), unchanged))

    def completed(self, result):
        self.mades.append((result.step.name, result.site, result.changed))

    def failed(self, step, site, error):
        self.fails.append((step.name, site, str(error)))


@dataclass(frozen=True, kw_only=True)
class FakeStep(Step):
    """A step of a stage of the table that does what a test says."""

    does: Work
    by_code: str = "code 1"

    def work(self, run):
        return self.does

    def code(self, run):
        return self.by_code


def step(name, do=None, *, inputs=None, code="code 1"):
    """A step with this work: by default each site's result is `fine`, made from what its name says."""
    stage = next(one for one in STAGES if one.name == name)
    done = do or (lambda sites: Isolated(done={site: {"fine": True} for site in sites}))
    made_from = inputs or (lambda sites: {site: f"rows of {site}" for site in sites})
    work = Work(do=done, inputs=made_from)
    return FakeStep(stage=stage, run=stage.run, makes={name: "."}, reads=(), does=work, by_code=code)


class BrokenJournal(Journal):
    """Cannot be written when a stage's work is to be kept."""

    def record(self, stage, *args, **how):
        if stage == "clean":
            raise LakeError("line toy: the lake's table 'journal' cannot be written: the disk is full")
        super().record(stage, *args, **how)


def run_of(folder, *, redo_from="", until=DAY, journal=Journal, run_id="run"):
    """What the runner itself asks of a line's run."""
    lake = Lake(folder / "lake", "toy")
    return SimpleNamespace(
        line=SimpleNamespace(name="toy", features=SimpleNamespace(across_sites=()), freshness=Freshness()),
        journal=journal(lake),
        redo_from=redo_from,
        until=until,
        as_of=f"{until:%Y-%m-%d}",
        run_id=run_id,
        lake=lake,
    )


def taken(run, *steps, sites=SITES):
    """Take sites through steps; what was told, and the runner afterwards."""
    heard = Heard()
    runner = Runner(run, sites, heard)
    runner.take_through(steps)
    return heard, runner


def test_a_site_that_fails_drops_out_and_the_others_go_on(tmp_path):
    def all_but_north(sites):
        done = {site: {"fine": True} for site in sites if site != "north"}
        return Isolated(done=done, failed={"north": SourceError("the line to the plant was cut")})

    heard, runner = taken(run_of(tmp_path), step("clean", all_but_north), step("features"))
    assert heard.begins == [("clean", tuple(SITES), 0), ("features", ("east", "south"), 0)]
    assert heard.fails == [("clean", "north", "the line to the plant was cut")]
    assert runner.sites == ["east", "south"]
    assert set(runner.failures) == {"north"}
    assert {site for _, site, _ in heard.mades} == {"east", "south"}


def test_a_run_that_lost_its_last_site_does_no_further_step(tmp_path):
    none = step("clean", lambda sites: Isolated(failed={site: SourceError("cut") for site in sites}))
    heard, runner = taken(run_of(tmp_path), none, step("features"))
    assert [name for name, *_ in heard.begins] == ["clean"]
    assert runner.sites == []


def test_what_was_made_from_the_same_by_the_same_code_is_told_as_unchanged_and_not_done(tmp_path):
    done = []

    def do(sites):
        done.append(sorted(sites))
        return Isolated(done={site: {"fine": True} for site in sites})

    taken(run_of(tmp_path), step("clean", do))
    heard, _ = taken(run_of(tmp_path), step("clean", do))
    assert done == [SITES]
    assert heard.begins == [("clean", (), 3)]
    assert sorted(heard.mades) == [("clean", site, False) for site in SITES]


def test_other_rows_do_their_site_again_and_other_code_does_all(tmp_path):
    taken(run_of(tmp_path), step("clean"))
    later = step(
        "clean", inputs=lambda sites: {site: f"rows of {site}{' later' * (site == 'north')}" for site in sites}
    )
    assert taken(run_of(tmp_path), later)[0].begins == [("clean", ("north",), 2)]
    other = step("clean", inputs=later.does.inputs, code="code 2")
    assert taken(run_of(tmp_path), other)[0].begins == [("clean", tuple(SITES), 0)]


def test_what_the_journal_cannot_keep_was_not_done(tmp_path):
    heard, runner = taken(run_of(tmp_path, journal=BrokenJournal), step("clean"), step("features"))
    assert {site for _, site, _ in heard.fails} == set(SITES)
    assert all("the disk is full" in error for *_, error in heard.fails)
    assert heard.mades == []
    assert runner.sites == []
    assert taken(run_of(tmp_path), step("clean"))[0].begins == [("clean", tuple(SITES), 0)]


def test_what_its_inputs_cannot_be_read_from_fails_every_site_by_name(tmp_path):
    def unreadable(sites):
        raise LakeError("no such table")

    heard, runner = taken(run_of(tmp_path), step("clean", inputs=unreadable), step("features"))
    assert heard.fails == [("clean", site, "no such table") for site in SITES]
    assert heard.begins == []
    assert runner.sites == []


def test_an_error_that_is_nobodys_to_foresee_is_not_swallowed(tmp_path):
    def wrong(sites):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        taken(run_of(tmp_path), step("clean", wrong))


def test_a_stage_before_the_one_to_begin_with_is_left_alone_and_the_others_are_done_though_nothing_changed(tmp_path):
    steps = [step("clean"), step("features"), step("base_model")]
    taken(run_of(tmp_path), *steps)
    heard, _ = taken(run_of(tmp_path, redo_from="features"), *steps)
    assert heard.begins == [("features", tuple(SITES), 0), ("base_model", tuple(SITES), 0)]
    assert {name for name, _, changed in heard.mades if changed} == {"features", "base_model"}
    assert sorted(made for made in heard.mades if not made[2]) == [("clean", site, False) for site in SITES]


def test_a_model_made_as_of_another_day_is_not_judged_and_its_site_drops_out(tmp_path):
    taken(run_of(tmp_path, until=datetime(2024, 2, 1)), step("site_model"), sites=["north"])
    taken(run_of(tmp_path), step("site_model"), sites=["south"])
    judging = run_of(tmp_path, redo_from="verdict")
    heard, runner = taken(judging, step("site_model"), step("verdict"), sites=["north", "south"])
    ((name, site, error),) = heard.fails
    assert (name, site) == ("site_model", "north")
    assert "made as of 2024-02-01 and cannot be judged as of 2024-03-01" in error
    assert heard.begins == [("verdict", ("south",), 0)]
    assert runner.sites == ["south"]


def test_a_stage_that_looks_for_itself_says_whether_it_changed_anything(tmp_path):
    looks = replace(
        step("raw"), does=Work(do=lambda sites: Isolated(done={s: {"changed": s == "east"} for s in sites}))
    )
    run = run_of(tmp_path)
    heard, _ = taken(run, looks)
    assert sorted(heard.mades) == [("raw", site, site == "east") for site in SITES]
    assert set(run.journal.latest("raw")) == {"east"}


ROWS = pl.DataFrame(
    {"site": ["north"] * 3, "part": [1, 2, 3], "force": [1.0, 2.0, -1.0], "at": [datetime(2024, 2, 1)] * 3}
)
TABLE = Table(
    name="parts",
    columns={"site": "String", "part": "Int64", "force": "Float64", "at": "Datetime[us]"},
    key=("part",),
    cursor="at",
    site_column="site",
    repair=lambda rows: rows,
    contract=(Expectation(type="expect_column_values_to_be_between", kwargs={"column": "force", "min_value": 0}),),
)


class Rows:
    """A source of three rows; keeps factory.connectors.source.Source."""

    def sites(self, table, until):
        return ["north"]

    def newest(self, table, until):
        return newest_of(ROWS, table)

    def read(self, table, *, site, after, until):
        yield ROWS.filter(pl.lit(True) if after is None else pl.col("at") > after)


def test_a_site_goes_through_a_real_stage_and_the_next_time_nothing_is_to_do(tmp_path: Path):
    """The stage `raw`, as the table has it; this test runs where Dagster cannot be imported, too."""
    stage = next(one for one in STAGES if one.name == "raw")
    real = Step(stage=stage, run="data", makes={"raw/parts": "Rows."}, reads=(), table=TABLE)
    for changed in (True, False):
        run = run_of(tmp_path)
        run.source = Rows()
        heard, _ = taken(run, real, sites=["north"])
        assert heard.fails == []
        assert heard.mades == [("raw/parts", "north", changed)]
    assert run.lake.scan("raw/parts").collect().height == 3


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (FULL, "StorageError: the disk of"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "StorageError: the disk of"),
        (
            pl.exceptions.ColumnNotFoundError('unable to find column "y"'),
            'LineError: line toy: unable to find column "y"',
        ),
        (SourceError("mine"), "SourceError: mine"),
        (ValueError("unknown"), "ValueError: unknown"),
    ],
)
@pytest.mark.parametrize("where", ["a site's work", "all sites' work", "inputs"])
def test_whatever_library_raises_a_site_is_told_in_our_words_with_the_cause_behind_them(tmp_path, error, told, where):
    def raises(sites):
        raise error

    def fails(sites):
        return Isolated(failed=dict.fromkeys(sites, error))

    does = {"a site's work": {"do": fails}, "all sites' work": {"do": raises}, "inputs": {"inputs": raises}}[where]
    runner = Runner(run_of(tmp_path), SITES, Heard())
    if where != "a site's work" and isinstance(error, ValueError) and not isinstance(error, LineError):
        with pytest.raises(ValueError, match="unknown"):
            runner.take_through([step("clean", **does)])
        return
    runner.take_through([step("clean", **does)])
    assert set(runner.failures) == set(SITES)
    for _, failed in runner.failures.values():
        assert f"{type(failed).__name__}: {failed}".startswith(told)
        assert failed is error or failed.__cause__ is error
