"""The line's page: every site is on it, what it sums up is what its sites' verdicts say, and names cannot break out."""

from factory.reports.gathering import line_facts, site_line
from factory.reports.line_page import line_page
from tests.reports.builders import Page, entry, facts, gates

HOSTILE = '"><script>alert(1)</script>'


def lines(**changes):
    """Three sites: one that serves, one refused, one that was never judged."""
    good, bad = facts(), facts(gates=gates(min_rows=5000), site="south")
    cleaned = {"raw": 2000, "clean": 1990, "quarantine": 10, "superseded": 0, "broken": {HOSTILE: 10}}
    told = {"importance": {HOSTILE: 0.2, "age": 0.1}, "value_low": 1.0, "value_high": 2.0}
    judged = {"clean": entry("clean", cleaned)}
    return line_facts(
        good.line,
        [
            site_line("north", {**judged, **verdict(good)}, good.serving, "north.html", told),
            site_line("south", {**judged, **verdict(bad)}, None, "south.html", told),
            site_line("west", {"clean": entry("clean", {**cleaned, "raw": 5})}, None, None, {}),
        ],
        entry("base_model", {"why": "base model of 3 sites", "as_of": "2026-03-01", "version": 1, "digest": "d" * 64}),
    )


def verdict(found):
    return {"verdict": entry("verdict", {"verdict": found.verdict.to_dict()})}


def test_every_site_is_there_served_refused_or_never_judged():
    page = Page(line_page(lines(), "0"))
    linked = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert linked == ["north.html", "south.html"]
    assert "1 of 3 sites serves a model that passed its gates" in page.text
    assert "Refused: south." in page.text
    assert "scored on 400 rows, needs 5000" in page.text
    assert "none yet" in page.text


def test_the_line_is_worth_what_the_sites_that_serve_are_worth():
    found = lines()
    worth = found.sites[0].verdict.figures["value_eur"]
    assert f"worth {worth:,.0f}\N{NO-BREAK SPACE}EUR." in Page(line_page(found, "0")).text


def test_hostile_names_stay_text_on_the_lines_page():
    page = Page(line_page(lines(), "0"))
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text.count(HOSTILE) >= 2


def test_a_line_of_no_judged_site_has_a_page():
    found = lines()
    empty = line_facts(found.line, found.sites[2:], entry("base_model", {}))
    assert "No site of 1 serves a model" in Page(line_page(empty, "0")).text
