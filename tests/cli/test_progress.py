"""What a run looks like: plain lines in a log, bars in a terminal, and a summary that says what became of each site."""

import io

import pytest
from rich.console import Console

from factory.cli.progress import Bars, Lines, named, screen, summary
from factory.names import LINE_SITE
from factory.pipeline.events import (
    LineOutcome,
    LineOver,
    RunFailed,
    RunSubmitted,
    Said,
    SiteFailed,
    SiteFinding,
    SiteMade,
    SitesChosen,
    StepBegun,
)

RUN = [
    RunSubmitted(job="presses_line_job", run_id="r-1"),
    SitesChosen(sites=("east", "north", "south"), until=""),
    StepBegun(step="raw/shifts", todo=(LINE_SITE,), unchanged=0, at=100.0),
    SiteMade(asset="raw/shifts", site=LINE_SITE, changed=True, at=100.5),
    StepBegun(step="clean", todo=("east", "north"), unchanged=1, at=101.0),
    SiteMade(asset="clean", site="north", changed=True, at=102.0),
    SiteMade(asset="quarantine", site="north", changed=True, at=102.0),
    Said(text="clean: looked [at] everything", level=20),
    Said(text="slow [disk]", level=30),
    SiteFailed(step="clean", site="east", error="Oh: [no]", at=103.0),
    RunFailed(text="line presses: 1 failed: east"),
]
JUDGED = [
    SiteMade(asset="release", site=site, changed=site == "north", at=104.0, became=became)
    for site, became in (("north", "released"), ("south", "refused"), ("west", "held_back"))
]


def outcome(*events):
    """What a run of these events came to."""
    made = LineOutcome()
    for event in events:
        made.take(event)
    return made


def shown(kind, events, **how):
    """What is written when the events are shown."""
    out = io.StringIO()
    with kind(Console(file=out, width=200, **how)) as view:
        for event in events:
            view.show(event)
    return out.getvalue()


def test_a_log_has_a_line_for_what_each_stage_begins_and_ends_with():
    assert shown(Lines, RUN).splitlines() == [
        "raw/shifts: line",
        "raw/shifts: 1 done, 0 unchanged, 0.5 s",
        "clean: east, north, 1 unchanged",
        "clean: looked [at] everything",
        "slow [disk]",
        "clean of east failed: Oh: [no]",
        "line presses: 1 failed: east",
        "clean: 1 done, 1 unchanged, 1 failed (east), 2.0 s",
    ]


def test_a_terminal_has_a_bar_for_each_stage_with_the_sites_in_work_and_those_that_failed():
    during = shown(Bars, RUN[:7], force_terminal=True)
    assert "clean" in during
    assert "2/3" in during
    assert "east, 1 unchanged" in during
    after = shown(Bars, RUN, force_terminal=True)
    assert "3/3" in after
    assert "failed: east" in after
    assert "clean of east failed: Oh: [no]" in after


@pytest.mark.parametrize("kind", [Lines, Bars])
def test_the_end_says_what_changed_what_became_of_each_site_and_where_the_run_is(kind):
    told = shown(kind, [*RUN, LineOver(outcome=outcome(*RUN, *JUDGED))], force_terminal=kind is Bars, no_color=True)
    for words in (
        "changed   raw/shifts 1, clean 1, quarantine 1, release 1",
        "released  north",
        "refused   south",
        "held back west; why: factory history SITE",
        "failed    east: clean: Oh: [no]",
        "seconds   raw/shifts 0.5, clean 2.0",
        "presses_line_job  http://127.0.0.1:3000/runs/r-1",
    ):
        assert words in told, words


def test_the_end_says_what_stands_at_the_data_once_and_not_what_a_site_failed_of():
    made = LineOutcome()
    for event in (
        SitesChosen(sites=("east", "north"), until=""),
        SiteFailed(step="raw/parts", site="north", error="SourceError: it was cut", at=0.0),
        SiteFinding(step="raw", site="east", text="no row came"),
        SiteFinding(step="raw", site="south", text="no row came"),
        SiteFinding(step="raw", site=LINE_SITE, text="6 rows name no site"),
        SiteFinding(step="raw", site="north", text="it was cut"),
    ):
        made.take(event)
    told = [line for line in summary(made, 1.0) if line.startswith("  data")]
    assert told == ["  data      east, south: no row came", "  data      6 rows name no site"]


def test_a_run_that_changed_nothing_says_just_that():
    chosen = SitesChosen(sites=("south", "west"), until="")
    nothing = "Nothing changed: every stage is up to date for every site."
    assert summary(outcome(chosen, JUDGED[1]), 1.0) == [nothing]
    assert summary(outcome(chosen, *JUDGED[1:]), 1.0) == [nothing, "  held back west; why: factory history SITE"]


@pytest.mark.parametrize(
    ("events", "code"),
    [
        (RUN[:7], 0),
        (RUN, 1),
        ([*RUN[:7], RunFailed(text="its process was killed")], 1),  # though no site failed until then
        (RUN[:2], 0),  # nothing to do is no fault
        ([RUN[0], RunFailed(text="no such table")], 2),
        ([RUN[0], SitesChosen(sites=(), until="")], 2),
        ([*RUN[:2], SiteFailed(step="raw/shifts", site=LINE_SITE, error="no", at=1.0)], 2),
        ([*RUN[:4], SiteFailed(step="base_model", site=LINE_SITE, error="no", at=1.0)], 1),
    ],
)
def test_the_exit_code_says_whether_all_some_or_nothing_could_be_done(events, code):
    assert outcome(*events).exit_code == code


def test_bars_are_for_terminals_alone():
    assert type(screen(Console(file=io.StringIO()))) is Lines
    assert type(screen(Console(file=io.StringIO(), force_terminal=True))) is Bars


def test_many_sites_are_told_as_a_few_and_how_many_more():
    sites = [f"site-{number:03}" for number in range(200)]
    assert named(sites) == "site-000, site-001, site-002, site-003, site-004, site-005 and 194 more"
    assert named(["a"]) == "a"
    assert named([]) == ""
