"""Which site comes in which wave."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.errors import RolloutRefused
from factory.pipeline.rollout.plan import PlannedSite, sizes_of, waves_of

SITES = st.dictionaries(
    st.text("ABCDE", min_size=1, max_size=3), st.builds(PlannedSite, serves=st.booleans(), rows=st.integers(0, 9))
)


def stand(rows, *, serves=True):
    return PlannedSite(serves=serves, rows=rows)


@given(SITES, st.lists(st.integers(1, 5), max_size=4), st.data())
def test_every_site_is_in_exactly_one_wave_and_in_order(sites, sizes, data):
    served = [site for site in sites if sites[site].serves]
    pilot = data.draw(st.sampled_from(["", *sites] if served else [*sites, "?"]))
    if pilot == "?":
        with pytest.raises(RolloutRefused):
            waves_of(sites, pilot, sizes)
        return
    waves = waves_of(sites, pilot, sizes)
    told = [site for wave in waves for site in wave]
    assert sorted(told) == sorted(sites)
    assert all(waves)
    assert all(len(wave) <= size for wave, size in zip(waves[:-1], sizes, strict=False))
    assert told[0] == (pilot or min(served, key=lambda site: (-sites[site].rows, site)))
    after = [site for site in told[1:] if sites[site].serves]
    assert after == sorted(after, key=lambda site: (-sites[site].rows, site))
    never = [site for site in told[1:] if not sites[site].serves]
    assert set(never) <= set(waves[-1])
    assert never == told[len(told) - len(never) :]


def test_a_pilot_then_four_then_the_rest_by_their_rows_and_those_that_never_served_last():
    sites = {name: stand(rows) for rows, name in enumerate("ABCDEFG")} | {"N": stand(99, serves=False)}
    assert waves_of(sites, "", sizes_of("1,4,rest")) == [("G",), ("F", "E", "D", "C"), ("B", "A", "N")]
    assert waves_of(sites, "A", sizes_of("1,4,rest")) == [("A",), ("G", "F", "E", "D"), ("C", "B", "N")]
    assert waves_of(sites, "N", sizes_of("2,rest")) == [("N", "G"), ("F", "E", "D", "C", "B", "A")]
    assert waves_of(sites, "", sizes_of("rest")) == [("G", "F", "E", "D", "C", "B", "A", "N")]


def test_those_that_never_served_are_in_no_wave_before_the_rest():
    sites = {"A": stand(5), "B": stand(4), "N": stand(0, serves=False)}
    assert waves_of(sites, "", (1, 4)) == [("A",), ("B",), ("N",)]


def test_a_line_that_serves_nowhere_needs_a_pilot_that_is_named():
    sites = {"A": stand(5, serves=False), "B": stand(9, serves=False)}
    with pytest.raises(RolloutRefused, match="--pilot SITE"):
        waves_of(sites, "", (1,))
    assert waves_of(sites, "A", (1,)) == [("A",), ("B",)]


def test_a_pilot_that_is_no_site_is_refused_with_those_there_are():
    with pytest.raises(RolloutRefused, match="pilot 'X' is no site of the line; there are A, B"):
        waves_of({"A": stand(1), "B": stand(2)}, "X", (1,))


@pytest.mark.parametrize(
    "text", ["", "1,4", "rest,1", "1,-4,rest", "0,rest", "1,,rest", "1,x,rest", "1.5,rest", "²,rest"]
)
def test_sizes_that_leave_sites_out_or_are_none_are_refused(text):
    with pytest.raises(RolloutRefused, match="waves"):
        sizes_of(text)


def test_a_held_site_is_no_pilot_and_says_why_where_it_is_named():
    sites = {"A": stand(9), "B": stand(5), "N": stand(0, serves=False)}
    sites["A"] = replace(sites["A"], held="lena holds it")
    assert waves_of(sites, "", (1,)) == [("B",), ("A", "N")]
    with pytest.raises(RolloutRefused, match="pilot A would not take the change: lena holds it"):
        waves_of(sites, "A", (1,))
    sites["B"] = replace(sites["B"], held="mia holds it")
    with pytest.raises(RolloutRefused, match="none can be the pilot: A: lena holds it; B: mia holds it"):
        waves_of(sites, "", (1,))


def test_a_pilot_mistyped_is_answered_with_the_one_that_was_meant():
    with pytest.raises(RolloutRefused, match="did you mean north"):
        waves_of({"north": stand(9), "UA": stand(3)}, "norht", (1,))
