"""The one rule: nothing is served without a passing verdict for exactly its digest and its site."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.errors import ReleaseRefused
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


@pytest.mark.parametrize("lost", ["line", "site", "digest", "passed", "reasons", "figures"])
def test_a_verdict_with_a_part_missing_is_no_verdict(lost):
    written = verdict().to_dict()
    del written[lost]
    with pytest.raises(KeyError, match=lost):
        Verdict.from_dict(written)
