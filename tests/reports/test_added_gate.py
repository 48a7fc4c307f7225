"""Adding a gate touches one module: written and put among the others, it is in everything that is made of a verdict."""

from factory.evaluation.findings import asset_check, by_gate
from factory.evaluation.gates import GATES
from factory.model.check import Check
from factory.reports.status import line_status
from factory.storage.home import Home
from factory.storage.journal import Journal
from factory.storage.lake import Lake
from tests.reports.builders import Page, facts

SAYS = "its holdout has 400 rows, which no pilot has"


def rows_of_a_pilot(figures, gates):
    """A gate that is written here, and that no other module knows of."""
    yield Check.at_most(
        "rows", figures["rows"], 10, code="rows_of_a_pilot", unit="count", title="rows of a pilot", reason=SAYS
    )


def test_a_gate_that_is_added_is_in_reasons_page_status_and_asset_checks(tmp_path):
    shown = facts(asked=(*GATES, rows_of_a_pilot))
    verdict = shown.verdict
    assert verdict.reasons == (SAYS,)

    page = Page.of(shown)
    assert SAYS in page.text
    assert ("rows of a pilot", "400", "at most 10", False) in [
        (limit.what, limit.found, limit.asked, limit.kept) for limit in shown.limits
    ]
    assert "rows of a pilot" in page.text

    Journal(Lake(tmp_path / "lake", "presses")).record(
        "verdict", {"north": {"verdict": verdict.to_dict()}}, {"north": "m"}, run="r", seconds=1.0
    )
    (row,) = (
        row
        for row in line_status(Home.at(tmp_path), "presses")["north"]["verdict"]["checks"]
        if row["code"] == "rows_of_a_pilot"
    )
    assert (row["found"], row["limit"], row["kept"], row["reason"]) == (400, 10, False, SAYS)

    gate = asset_check(by_gate(verdict.checks)["rows_of_a_pilot"])
    assert (gate.passed, gate.severity, gate.metadata["reasons"]) == (False, "ERROR", [SAYS])
    assert SAYS in asset_check(verdict.checks).metadata["reasons"]
