"""A site's page: its figures are the verdict's, it fetches nothing, names cannot break out, poor data is told."""

import dataclasses
import json
import re

import numpy as np
import pytest

from factory.charts.numbers import FORMS, MINUS, cents
from factory.line.gates import AgainstConstant, Comparison
from factory.reports.site_page import form, site_page
from factory.tasks import Multiclass
from tests.reports.builders import COLUMNS, TASKS, Page, facts, gates

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


@pytest.mark.parametrize("kind", TASKS)
def test_every_figure_on_the_page_is_the_verdicts(kind):
    found = facts(kind)
    page = Page.of(found)
    headline = found.line.task.headline
    assert {headline, f"base_{headline}", f"baseline_{headline}", "value_eur", "baseline_value_eur"} <= set(
        page.figures
    )
    for name, text in page.figures.items():
        value = found.verdict.figures[name]
        bare = re.sub("^(base|baseline|champion)_", "", name)
        assert text == FORMS[form(found.line.task, bare)](value if value is None else float(value)), name


@pytest.mark.parametrize("kind", TASKS)
def test_the_pictures_of_a_task_are_drawn_and_say_what_they_show(kind):
    found = facts(kind)
    svgs = [attributes for tag, attributes in Page.of(found).tags if tag == "svg"]
    assert len(svgs) >= 2 + len(found.shown.gallery.pictures) + 1 + 2
    assert all(len(svg["aria-label"]) > 20 for svg in svgs)
    assert not re.search(r"\b(nan|inf)\b", site_page(found, "0"), re.IGNORECASE)


def test_a_page_fetches_nothing_and_runs_nothing():
    for kind in TASKS:
        page = Page.of(facts(kind))
        assert not {"script", "img", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.tags}
        for tag, attributes in page.tags:
            assert not {"src", "srcset", "action", "poster", "xlink:href"} & set(attributes)
            assert not [name for name in attributes if name.startswith("on")]
            assert attributes.get("href", "index.html") in ("index.html", "data:,"), tag
        assert "url(" not in page.styles
        assert "@import" not in page.styles
        assert ("meta", "default-src 'none'") in [
            (tag, str(attributes.get("content"))[:18]) for tag, attributes in page.tags
        ]


def test_hostile_names_stay_text():
    columns = (HOSTILE, "age", COLUMNS[2])
    task = Multiclass(classes=(HOSTILE, "card", "cash"))
    found = facts(task=task, columns=columns, rules=[HOSTILE], model={"why": HOSTILE, "provenance": {HOSTILE: HOSTILE}})
    page = Page.of(found)
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert page.text.count(HOSTILE) >= 3
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]


def test_a_refused_site_that_never_served_says_why():
    found = facts(rows=60, gates=gates(min_rows=500, at_least={"average_precision": 0.999}), serving=None)
    page = Page.of(found)
    assert len(found.verdict.reasons) == 2
    assert all(reason in page.text for reason in found.verdict.reasons)
    assert "north serves nothing" in page.text
    assert "scored on 60 rows, needs 500, and 1 more reason" in page.text


def test_a_refused_candidate_does_not_hide_what_goes_on_serving():
    served = facts().serving
    old = type(served)(version=1, digest="b" * 64, since="2026-01-02T00:00:00+00:00")
    page = Page.of(facts(gates=gates(min_rows=5000), serving=old))
    assert "north goes on serving version 1 of 2026-01-02. The new candidate was refused: scored on" in page.text


def test_a_candidate_that_passed_and_is_held_back_says_by_what():
    old = type(facts().serving)(version=1, digest="b" * 64, since="2026-01-02T00:00:00+00:00")
    page = Page.of(facts(serving=old, held_back="Ann's rollback holds it on release 1"))
    assert "north serves version 1 of 2026-01-02. A newer candidate passed every gate" in page.text
    assert "It is not released: Ann's rollback holds it on release 1." in page.text


def test_what_serves_is_shown_with_its_own_figures_and_not_with_those_of_a_refused_candidate():
    candidate = facts(gates=gates(min_rows=5000))
    own = {"average_precision": 0.4321, "value_eur": 98765.0}
    old = dataclasses.replace(candidate.serving, version=1, digest="b" * 64, as_of="2026-01-01", figures=own)
    page = Page.of(dataclasses.replace(candidate, serving=old))
    tiles = page.text[: page.text.index("Why it was refused")]
    assert "Served: average precision0.432judged as of 2026-01-01" in "".join(tiles.split("\n"))
    assert "Served: value, EUR98,765" in "".join(tiles.split("\n"))
    assert f"Candidate: average precision{candidate.figures['average_precision']:.3f}" in "".join(tiles.split("\n"))
    assert "Value on the holdout" not in tiles
    assert "Served:" not in Page.of(facts()).text


def test_a_champion_that_learnt_from_some_rows_is_told_of_and_compared_on_the_others():
    rows = np.arange(400) % 2 == 0
    text = Page.of(facts(champion=True, new_to_champion=rows)).text
    assert "the champion's figures are of the 200 rows that are new to it." in text
    assert "All models answered the same 400 rows, which none of them had learnt from." in Page.of(facts()).text


def test_the_page_shows_every_rung_with_its_value_and_cost_and_which_was_chosen():
    names = ("validation_loss", "value_per_decision_eur", "training_s", "serving_s_per_1000", "cost_eur")
    rungs = {
        "trees": dict(zip(names, (0.4321, 2.5, 0.75, 0.004, 0.01), strict=True)),
        "tuned network": dict(zip(names, (0.4123, 3.25, 31.5, 0.021, 0.5), strict=True)),
    }
    text = " ".join(Page.of(facts(rung="tuned network", rungs=rungs)).text.split())
    assert "What it was chosen from" in text
    for cell in ("0.432", "2,500", "0.750", "0.412", "3,250", "31.50"):
        assert cell in text
    assert "What it was chosen from" not in Page.of(facts()).text


def test_limits_side_by_side_agree_with_the_verdict():
    for asked in (gates(), gates(min_rows=5000), gates(at_most={"log_loss": 0.0001}), gates(max_latency_ms=0.1)):
        found = facts(gates=asked)
        assert all(limit.kept for limit in found.limits) == found.verdict.passed


def test_the_table_has_the_verdicts_own_checks_and_compares_nothing_anew():
    found = facts(gates=gates(min_rows=5000))
    assert [(limit.kept, limit.enforced) for limit in found.limits] == [
        (check.kept, check.mode == "enabled") for check in found.verdict.checks
    ]
    (rows,) = (limit for limit in found.limits if limit.what == "rows judged")
    assert (rows.found, rows.asked, rows.kept) == ("400", "at least 5k", False)


def test_a_verdict_from_before_checks_were_kept_has_a_page_without_the_table():
    found = facts(verdict={"checks": []})
    assert found.verdict.checks == ()
    assert "What the line asks of it" not in Page.of(found).text
    assert "What the line asks of it" in Page.of(facts()).text


def test_a_dry_run_is_told_apart_from_what_refuses_and_what_is_disabled_is_not_asked():
    asked = Comparison(mode="dry_run", min_absolute_change=1.0)
    found = facts(gates=gates(against_baseline=asked, against_champion=Comparison(mode="disabled")), champion=True)
    page = Page.of(found)
    assert found.verdict.passed
    assert [limit.what for limit in found.limits if not limit.kept] == [
        "chance of being better than the baseline by more than 1.000"
    ]
    assert "What a dry run would have refused" in page.text
    assert found.figures["would_refuse"] in page.text
    assert ", dry run" in page.text
    assert "chance of being better than the champion" not in page.text


def test_a_site_that_keeps_the_base_model_has_one_column_for_both_and_says_why():
    why = "base model kept: 30 labelled training rows, fine-tuning needs 500"
    page = Page.of(facts(fine_tuned=False, model={"why": why, "epochs": []}))
    assert "site = base model" in page.text
    assert "Base model kept: 30 labelled training rows" in page.text
    assert "base_average_precision" not in page.figures
    assert "Fine-tuning on the site's rows" not in page.text


def test_a_site_whose_model_is_the_baseline_has_one_column_for_both_and_says_that_nothing_is_compared():
    page = Page.of(facts(is_baseline=True))
    assert "site = baseline" in page.text
    assert "with which nothing is compared" in page.text
    assert "baseline_average_precision" not in page.figures
    assert "chance of being better than the baseline" not in page.text


def test_the_champion_before_stands_beside_the_others():
    found = facts(champion=True)
    page = Page.of(found)
    assert "champion before" in page.text
    assert page.figures["champion_average_precision"] == f"{found.verdict.figures['champion_average_precision']:.3f}"
    assert "champion before" not in Page.of(facts()).text
    assert {"champion", "base", "baseline", "candidate"} == set(found.shown.money)


def test_no_quarantine_is_told_and_nothing_is_drawn_of_it():
    assert "Quarantine by broken rule" not in Page.of(facts(rules=[])).text
    assert "Quarantine by broken rule" in Page.of(facts()).text


@pytest.mark.parametrize("rows", [0, 5, 200])
def test_a_holdout_of_one_class_or_of_no_rows_is_told_and_not_drawn(rows):
    found = facts(rows=rows, label=np.zeros(rows, np.float32))
    assert found.shown.gallery is None
    assert "There is little to draw" in Page.of(found).text


def test_numbers_are_written_for_people():
    text = Page.of(facts()).text
    assert "1,234 raw rows" in text
    assert "1234.0" not in text


def test_an_amount_is_told_to_the_cent_and_less_than_one_as_less():
    assert [cents(value) for value in (0.0, 6.1e-05, 0.01, 1234.5)] == ["0.00", "< 0.01", "0.01", "1,234.50"]
    assert cents(-2.0) == f"{MINUS}2.00"


def test_equal_facts_give_equal_pages():
    assert site_page(facts(), "1") == site_page(facts(), "1")
    assert json.dumps(facts().verdict.to_dict()) == json.dumps(facts().verdict.to_dict())


def test_the_page_says_what_needs_no_model_and_how_the_candidate_stands_to_it():
    found = facts(gates=gates(against_constant=AgainstConstant(min_probability=0.5)))
    text = Page.of(found).text
    assert (
        f"Money is counted above the best decision without a model on these very rows: {found.figures['constant']}."
        in text
    )
    assert "It acts on" in text
    assert "the best constant answer's" in text
    assert "This line asks to be better than the best constant decision with certainty 50.0% only" in text
    assert "asks to be better" not in Page.of(facts(gates=gates(against_constant=AgainstConstant()))).text


def test_figures_from_before_constants_were_measured_are_shown_without_a_word_of_them():
    whole = facts().verdict.figures
    gone = ("constant", "witnesses", "loss", "prevalence", "share_acted", "asks_less", "probability_")
    old = {name: value for name, value in whole.items() if not name.startswith(gone)}
    text = Page.of(facts(verdict={"figures": old})).text
    assert "without a model" not in text
    assert "above the best constant decision; each by its own threshold" in text
