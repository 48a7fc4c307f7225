"""What Prometheus reads: the metrics that dashboards and alerts know, in each form that it may ask for."""

from itertools import accumulate
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from factory.gateway.metrics.counts import BATCH_ROWS, BUCKETS_S, COUNTERS, Counted, Labels, Numbers, Recorded, Sizes
from factory.gateway.metrics.exposition import metrics_text

CHAMPION = Labels(model="toy.UA", version="3", line="toy", site="UA", role="champion")
CANARY = CHAMPION._replace(version="4", role="canary")
EARLIER = Path(__file__).parent / "data" / "metrics.txt"
"""The sample's text as the gateway wrote it by hand, before a library did."""


def numbers(first: int) -> Numbers:
    """Numbers that are all different."""
    return Numbers(
        counts={name: first + place for place, name in enumerate(COUNTERS)},
        cpu_s=first / 7,
        waiting_rows=first + 50,
        durations=Sizes(tuple(range(first, first + len(BUCKETS_S) + 1)), first / 3),
        batches=Sizes(tuple(range(2 * first, 2 * first + len(BATCH_ROWS) + 1)), 1e9 + first),
    )


SAMPLE = Counted(
    workers=2,
    series={CHAMPION: numbers(100), CANARY: numbers(0)},
    errors={503: 2, 404: 7},
    records=Recorded(written=5, dropped=1, failing=True),
    awake=3,
    refused_releases={"toy.UA": 1},
    refused_trials={"toy.DL": 2},
    released={CHAMPION: 1_700_000_000.25},
    shares={CANARY: 0.1},
    snapshots={"toy": 1_700_000_123.5},
    refused_snapshots={"toy": 4},
)


def samples(families):
    """Value by name and labels."""
    return {(one.name, *sorted(one.labels.items())): one.value for family in families for one in family.samples}


def test_names_labels_and_values_are_those_that_dashboards_know():
    text, content_type = metrics_text(SAMPLE, 0.05)
    earlier = EARLIER.read_text()
    now = samples(text_string_to_metric_families(text.decode()))
    assert now == pytest.approx(samples(text_string_to_metric_families(earlier)), rel=1e-8)
    assert len(now) > 100
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert said(text.decode()) == said(earlier)


def said(text):
    """What the text says of each metric: its kind, and its meaning."""
    return {line for line in text.splitlines() if line.startswith("#")}


def test_who_asks_for_openmetrics_gets_it_with_the_same_values():
    text, content_type = metrics_text(SAMPLE, 0.05, "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    plain = metrics_text(SAMPLE, 0.05)[0].decode()
    found = samples(openmetrics.text_string_to_metric_families(text.decode()))
    assert bare(found) == bare(samples(text_string_to_metric_families(plain)))


def bare(values):
    """The values with edges as numbers and counters without `_total`, which the parsers read differently."""
    return {
        (
            name.removesuffix("_total"),
            *((label, float(text) if label == "le" else text) for label, text in labels),
        ): value
        for (name, *labels), value in values.items()
    }


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


class Single(Collector):
    """One metric, of which the library writes every line."""

    def __init__(self, metric):
        self.metric = metric

    def collect(self):
        yield self.metric


@given(
    st.builds(Labels, TEXT, TEXT, TEXT, TEXT, TEXT),
    st.lists(st.integers(0, 10**12), min_size=len(BUCKETS_S) + 1, max_size=len(BUCKETS_S) + 1),
    st.floats(0, 1e18),
    st.sampled_from(["", "application/openmetrics-text;version=1.0.0"]),
)
def test_a_line_is_the_very_one_that_the_library_writes(labels, buckets, total, accept):
    one = msgspec.structs.replace(numbers(0), durations=Sizes(tuple(buckets), total), cpu_s=total)
    text = metrics_text(Counted(workers=1, series={labels: one}), 0.0, accept)[0].decode()
    name, edges = "factory_inference_duration_seconds", (*map(str, BUCKETS_S), "+Inf")
    histogram = HistogramMetricFamily(
        name, "Time from a request's last byte to its answer; a shadow's model alone", labels=Labels._fields
    )
    histogram.add_metric(labels, list(zip(edges, accumulate(buckets), strict=True)), total)
    counter = CounterMetricFamily(
        "factory_model_cpu_seconds", "Processor time that calls of the model took", labels=Labels._fields
    )
    counter.add_metric(labels, total)
    encoded, _ = choose_encoder(accept)
    for metric in (histogram, counter):
        assert encoded(Single(metric)).decode().removesuffix("# EOF\n") in text


def test_nothing_counted_is_a_text_too():
    text, _ = metrics_text(Counted(workers=1))
    assert b"factory_workers 1.0\n" in text
    assert b"eur" not in text
