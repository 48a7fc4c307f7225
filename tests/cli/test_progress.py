"""What a run looks like: plain lines in a log, bars in a terminal, and a summary that says what became of each site."""

import io

import pytest
from rich.console import Console

from factory.cli.progress import Bars, Lines, named, screen, summary
from factory.names import LINE_SITE

RUN = [
    {"event": "start", "sites": 3},
    {"event": "run", "name": "presses_references", "run": "r-0", "sites": 0},
    {"event": "stage", "stage": "raw/shifts", "todo": [LINE_SITE], "unchanged": 0, "at": 100.0},
    {"event": "site", "stage": "raw/shifts", "site": None, "changed": True, "at": 100.5},
    {"event": "run", "name": "presses_data", "run": "r-1", "sites": 3},
    {"event": "stage", "stage": "clean", "todo": ["east", "north"], "unchanged": 1, "at": 101.0},
    {"event": "site", "stage": "clean", "site": "north", "changed": True, "at": 102.0},
    {"event": "site", "stage": "quarantine", "site": "north", "changed": True, "at": 102.0},
    {"event": "site", "stage": "clean", "site": "south", "changed": False, "at": 102.5},
    {"event": "say", "text": "clean: looked [at] everything", "level": 20},
    {"event": "say", "text": "slow [disk]", "level": 30},
    {"event": "site_failed", "stage": "clean", "site": "east", "text": "clean of east failed: Oh: [no]", "at": 103.0},
    {"event": "failed", "text": "line presses: 1 of 3 failed: east"},
]
SUMMARY = {
    "event": "summary",
    "changed": {"raw/shifts": 1, "clean": 1},
    "unchanged": {"clean": 1},
    "seconds": {"raw/shifts": 0.5, "clean": 2.0},
    "released": ["north"],
    "kept": [],
    "refused": ["south"],
    "held_back": ["west"],
    "failed": {"east": "clean: Oh: [no]"},
    "runs": [{"name": "presses_references", "run": "r-0"}, {"name": "presses_data", "run": "r-1"}],
}


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
        "line presses: 1 of 3 failed: east",
        "clean: 1 done, 1 unchanged, 1 failed (east), 2.0 s",
    ]


def test_a_terminal_has_a_bar_for_each_stage_with_the_sites_in_work_and_those_that_failed():
    during = shown(Bars, RUN[:8], force_terminal=True)
    assert "clean" in during
    assert "1/3" in during
    assert "east, 1 unchanged" in during
    after = shown(Bars, RUN, force_terminal=True)
    assert "3/3" in after
    assert "failed: east" in after
    assert "clean of east failed: Oh: [no]" in after


@pytest.mark.parametrize("kind", [Lines, Bars])
def test_the_end_says_what_changed_what_became_of_each_site_and_where_the_runs_are(kind):
    told = shown(kind, [*RUN, SUMMARY], force_terminal=kind is Bars, no_color=True)
    for words in (
        "changed   raw/shifts 1, clean 1",
        "released  north",
        "refused   south",
        "held back west; why: factory history SITE",
        "failed    east: clean: Oh: [no]",
        "seconds   raw/shifts 0.5, clean 2.0",
        "presses_data  http://127.0.0.1:3000/runs/r-1",
    ):
        assert words in told, words


def test_a_run_that_changed_nothing_says_just_that():
    quiet = {**SUMMARY, "changed": {}, "failed": {}}
    nothing = "Nothing changed: every stage is up to date for every site."
    assert summary({**quiet, "held_back": []}, 1.0) == [nothing]
    assert summary(quiet, 1.0) == [nothing, "  held back west; why: factory history SITE"]


def test_bars_are_for_terminals_alone():
    assert type(screen(Console(file=io.StringIO()))) is Lines
    assert type(screen(Console(file=io.StringIO(), force_terminal=True))) is Bars


def test_many_sites_are_told_as_a_few_and_how_many_more():
    sites = [f"site-{number:03}" for number in range(200)]
    assert named(sites) == "site-000, site-001, site-002, site-003, site-004, site-005 and 194 more"
    assert named(["a"]) == "a"
    assert named([]) == ""


def test_events_of_a_later_version_are_passed_over():
    assert shown(Lines, [{"event": "weather", "text": "rain"}, {"text": "no event"}]) == ""
