"""A verdict's checks as others take them: nothing is compared anew, nothing lost, everything plain data."""

import dataclasses
import json

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from factory.evaluation.findings import asset_check, by_gate, rows
from factory.model.check import Check, reasons

KEPT = Check.at_least("rows", 9, 5, code="enough_rows", unit="count")
BROKEN = Check.at_least("average_precision", 0.3, 0.5, code="good_enough")
UNMEASURED = Check.at_most("parity_error", None, 1e-4, code="served_as_trained")
DRY = Check.at_most("size_mb", 9.5, 5.0, code="small_enough", mode="dry_run")
WORDS = Check.nothing("contract_failures", "no rows on Mondays", code="contract_kept", reason="contract broken")
ALL = [KEPT, BROKEN, UNMEASURED, DRY, WORDS]


@given(st.lists(st.sampled_from(ALL), min_size=1))
def test_an_asset_check_fails_on_any_check_not_kept_and_only_warns_of_what_refuses_nothing(checks):
    shown = asset_check(checks)
    refused = bool(reasons(checks))
    assert shown.passed == all(check.kept for check in checks)
    assert shown.severity == ("WARN" if DRY in checks and not refused else "ERROR")
    assert shown.metadata["reasons"] == list(reasons(checks))
    assert shown.metadata["would_refuse"] == [check.reason for check in checks if check is DRY]
    json.dumps(dataclasses.asdict(shown), allow_nan=False)


def test_figures_and_limits_that_are_numbers_can_be_plotted():
    metadata = asset_check(ALL).metadata
    assert {name: value for name, value in metadata.items() if not isinstance(value, list)} == {
        "rows": 9,
        "rows_at_least": 5,
        "average_precision": 0.3,
        "average_precision_at_least": 0.5,
        "parity_error_at_most": 1e-4,
        "size_mb": 9.5,
        "size_mb_at_most": 5.0,
    }


@given(st.lists(st.sampled_from(ALL)))
def test_each_check_is_in_the_asset_check_of_its_gate_and_in_no_other(checks):
    gates = by_gate(checks)
    assert sorted(map(str, checks)) == sorted(str(check) for gate in gates.values() for check in gate)
    assert all({check.code for check in gate} == {code} for code, gate in gates.items())


@given(st.lists(st.sampled_from(ALL)))
def test_there_is_a_row_for_each_check_and_a_frame_takes_them_in_any_order(checks):
    told = rows(checks, site="north")
    assert [(row["code"], row["kept"], row["reason"]) for row in told] == [
        (check.code, check.kept, check.reason) for check in checks
    ]
    json.dumps(told, allow_nan=False)
    frame = pl.DataFrame(told, strict=True, infer_schema_length=None)
    assert len(frame) == len(checks)
    assert not checks or set(frame["site"]) == {"north"}
