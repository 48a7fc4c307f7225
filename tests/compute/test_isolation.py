"""Invariant 3: one site's failure is one site's failure."""

from hypothesis import given
from hypothesis import strategies as st

from factory.compute.isolation import one_by_one, together

SITES = st.lists(st.text("abc", min_size=1, max_size=3), unique=True)


@given(SITES, st.sets(st.text("abc", min_size=1, max_size=3)))
def test_only_the_sites_at_fault_fail(sites, bad):
    def work(some):
        if at_fault := bad & set(some):
            raise ValueError(f"cannot do {sorted(at_fault)}")
        return {site: site.upper() for site in some}

    found = together(sites, work)
    assert set(found.failed) == bad & set(sites)
    assert found.done == {site: site.upper() for site in sites if site not in bad}


def test_work_that_goes_well_is_done_once_for_all_sites():
    calls = []

    def work(some):
        calls.append(list(some))
        return dict.fromkeys(some, 1)

    assert together(["a", "b"], work).done == {"a": 1, "b": 1}
    assert calls == [["a", "b"]]


def test_the_reason_of_a_failure_is_kept():
    found = one_by_one(["a"], lambda site: {}[site])
    assert isinstance(found.failed["a"], KeyError)
