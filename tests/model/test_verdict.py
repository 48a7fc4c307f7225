"""The one rule: nothing is served without a passing verdict for exactly its digest and its site."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.errors import ReleaseRefused
from factory.model.check import Check
from factory.model.verdict import Verdict, digest_of, require_permission

FILE = b"a model"


def verdict(**changes):
    facts = {
        "line": "brewing",
        "site": "north",
        "digest": digest_of(FILE),
        "passed": True,
        "reasons": (),
        "figures": {},
    }
    return Verdict(**{**facts, **changes})


def ask(shown, line="brewing", site="north", file=FILE):
    require_permission(shown, line=line, site=site, digest=digest_of(file))


def test_a_digest_is_the_sha256_of_the_file():
    assert digest_of(FILE) == hashlib.sha256(FILE).hexdigest()


def test_a_passing_verdict_permits_its_own_file_at_its_own_site():
    ask(verdict())


@pytest.mark.parametrize(
    ("shown", "asked", "named"),
    [
        (None, {}, "has no verdict"),
        (verdict(passed=False, reasons=("too dear", "too late")), {}, "did not pass its gates: too dear; too late"),
        (verdict(), {"file": b"another model"}, "is for another file"),
        (verdict(), {"site": "south"}, r"is for brewing\.north"),
        (verdict(), {"line": "bottling"}, r"is for brewing\.north"),
    ],
)
def test_anything_else_is_refused_with_what_to_do(shown, asked, named):
    with pytest.raises(ReleaseRefused, match=named):
        ask(shown, **asked)


@given(st.binary(max_size=8), st.binary(max_size=8), st.booleans())
def test_permission_is_given_exactly_when_it_passed_and_the_bytes_are_the_same(judged, served, passed):
    shown = verdict(digest=digest_of(judged), passed=passed, reasons=() if passed else ("no",))
    if passed and judged == served:
        ask(shown, file=served)
    else:
        with pytest.raises(ReleaseRefused):
            ask(shown, file=served)


@pytest.mark.parametrize(("passed", "reasons"), [(True, ("why not",)), (False, ())])
def test_a_verdict_cannot_contradict_itself(passed, reasons):
    with pytest.raises(ValueError, match=r"verdict of brewing\.north"):
        verdict(passed=passed, reasons=reasons)


FIGURES = st.dictionaries(
    st.text(max_size=8), st.one_of(st.none(), st.booleans(), st.integers(), st.floats(-1e9, 1e9), st.text())
)


@given(st.lists(st.text(), max_size=3), FIGURES)
def test_a_verdict_survives_json(reasons, figures):
    shown = verdict(passed=not reasons, reasons=tuple(reasons), figures=figures)
    assert Verdict.from_dict(json.loads(json.dumps(shown.to_dict()))) == shown


KEPT = Check.at_least("rows", 9, 5, code="enough_rows")
BROKEN = Check.at_least("rows", 3, 5, code="enough_rows", reason="too few")
DRY = Check.at_most("size_mb", 9.5, 5.0, code="small_enough", mode="dry_run", reason="too large")


def judged(*checks, **figures):
    return Verdict.of_checks(checks, figures, line="brewing", site="north", digest=digest_of(FILE))


@given(st.lists(st.sampled_from([KEPT, BROKEN, DRY]), min_size=1))
def test_whether_it_passed_why_not_and_what_a_dry_run_would_say_follow_from_the_checks(checks):
    shown = judged(*checks, rows=3)
    assert shown.checks == tuple(checks)
    assert shown.reasons == ("too few",) * checks.count(BROKEN)
    assert shown.passed is (BROKEN not in checks)
    assert shown.figures == {"rows": 3, "would_refuse": "; ".join(["too large"] * checks.count(DRY)) or None}
    assert Verdict.from_dict(json.loads(json.dumps(shown.to_dict()))) == shown


def test_where_nothing_was_asked_nothing_can_have_passed():
    with pytest.raises(ValueError, match="no gate was asked"):
        judged()


@pytest.mark.parametrize("checks", [(BROKEN,), (KEPT, BROKEN)])
def test_a_verdict_cannot_say_other_than_its_checks(checks):
    with pytest.raises(ValueError, match=r"brewing\.north: its reasons are \(\), those of its checks \('too few',\)"):
        verdict(checks=checks)
    with pytest.raises(ValueError, match="those of its checks"):
        verdict(passed=False, reasons=("another",), checks=checks)


def test_a_verdict_on_record_whose_check_was_turned_round_is_none():
    written = judged(BROKEN).to_dict()
    written["checks"][0] |= {"kept": True, "reason": ""}
    with pytest.raises(ValueError, match="kept=True, but 3 was found, at_least 5"):
        Verdict.from_dict({**written, "passed": True, "reasons": []})


def test_a_verdict_from_before_checks_were_kept_is_read_and_written_as_it_was():
    before = {**verdict(figures={"rows": 9}).to_dict()}
    assert list(before) == ["line", "site", "digest", "passed", "reasons", "figures"]
    assert Verdict.from_dict(before).checks == ()
    assert Verdict.from_dict(before).to_dict() == before


@pytest.mark.parametrize("lost", ["line", "site", "digest", "passed", "reasons", "figures"])
def test_a_verdict_with_a_part_missing_is_no_verdict(lost):
    written = verdict().to_dict()
    del written[lost]
    with pytest.raises(KeyError, match=lost):
        Verdict.from_dict(written)
