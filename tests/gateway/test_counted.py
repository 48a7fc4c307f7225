"""What several processes counted is the sum of what each did, in whatever order it is added up."""

from functools import reduce

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from factory.gateway.metrics.counts import BATCH_ROWS, BUCKETS_S, COUNTERS, Counted, Labels, Numbers, Recorded, Sizes

COUNTS = st.integers(0, 10**6)
EXACT = st.integers(0, 10**6).map(float)  # sums of whole numbers do not depend on their order
CHAMPION = Labels(model="toy.UA", version="3", line="toy", site="UA", role="champion")
CANARY, ELSEWHERE = CHAMPION._replace(version="4", role="canary"), CHAMPION._replace(model="toy.DL", site="DL")
LABELS = st.sampled_from([CHAMPION, CANARY, ELSEWHERE])
SHARES = st.dictionaries(LABELS, st.floats(0, 1), max_size=2)


def sizes(edges):
    buckets = st.lists(COUNTS, min_size=len(edges) + 1, max_size=len(edges) + 1).map(tuple)
    return st.builds(Sizes, buckets, EXACT)


NUMBERS = st.builds(
    Numbers,
    counts=st.fixed_dictionaries(dict.fromkeys(COUNTERS, COUNTS)),
    cpu_s=EXACT,
    waiting_rows=COUNTS,
    durations=sizes(BUCKETS_S),
    batches=sizes(BATCH_ROWS),
)
COUNTED = st.builds(
    Counted,
    workers=st.integers(0, 9),
    series=st.dictionaries(LABELS, NUMBERS, max_size=3),
    errors=st.dictionaries(st.sampled_from([400, 404, 500]), COUNTS),
    records=st.none() | st.builds(Recorded, written=COUNTS, dropped=COUNTS, failing=st.booleans()),
    awake=COUNTS,
    refused_releases=st.dictionaries(st.sampled_from("ab"), COUNTS),
    refused_trials=st.dictionaries(st.sampled_from("ab"), COUNTS),
    released=st.dictionaries(LABELS, EXACT, max_size=2),
    shares=SHARES,
)


@given(COUNTED, COUNTED, COUNTED)
def test_it_does_not_matter_who_adds_up_whose_counts(a, b, c):
    assert a.plus(b) == b.plus(a)
    assert a.plus(b).plus(c) == a.plus(b.plus(c))
    assert a.plus(Counted(workers=0)) == a


@given(st.lists(COUNTED, min_size=1, max_size=4))
def test_every_count_of_the_sum_is_the_sum_of_the_counts(parts):
    whole = reduce(Counted.plus, parts)
    for name in COUNTERS:
        assert total(name, whole) == sum(total(name, part) for part in parts)
    assert whole.workers == sum(part.workers for part in parts)
    for model in whole.refused_releases:  # one fact that all of them met
        assert whole.refused_releases[model] == max(part.refused_releases.get(model, 0) for part in parts)
    assert bool(whole.records and whole.records.failing) == any(part.records and part.records.failing for part in parts)


@given(COUNTED, COUNTED)
def test_a_process_that_is_no_more_keeps_its_counts_and_no_state(lives, other):
    ended = lives.ended()
    assert [total(name, ended) for name in COUNTERS] == [total(name, lives) for name in COUNTERS]
    assert (ended.workers, ended.awake, ended.released, ended.shares) == (0, 0, {}, {})
    assert all(one.waiting_rows == 0 for one in ended.series.values())
    assert ended.plus(other).shares == other.shares


@given(COUNTED)
def test_it_is_the_same_after_it_was_sent(counted):
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(counted), type=Counted) == counted


def total(name, counted):
    return sum(one.counts[name] for one in counted.series.values())
