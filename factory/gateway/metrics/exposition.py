"""What was counted, as Prometheus reads it: each metric's kind, and what it is the number of.

What a metric is called and means, and how labels are written, is by `prometheus-client`; counting knows nothing of it.
Lines of the series, some forty-five of each model's version, are put together here: the library writes each label
anew in every line, which for a thousand models took over a second.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    UnknownMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from factory.gateway.metrics.counts import BATCH_ROWS, BUCKETS_S, COUNTERS, Counted, Labels, Sizes

KINDS = (b"text/plain", b"application/openmetrics-text")
_TOTAL = "_total"
_TRITONS = [name for name in COUNTERS if not name.endswith(_TOTAL)]
"""Counters named as Triton names them: no counter's name in OpenMetrics, which has them as metrics of unknown kind."""


_END = b"# EOF\n"
_EDGE = "an edge of a bucket"
_WHOLE = 1_000_000
"""From here on a whole number is written with an exponent."""


class _OfSeries(NamedTuple):
    """A metric, and its lines, which stand in no sample of it."""

    metric: Metric
    lines: list[str]


def metrics_text(counted: Counted, cpu_hour_eur: float = 0.0, accept: str = "") -> tuple[bytes, str]:
    """Return everything in a form that `accept` asks for, Prometheus' text 0.0.4 by default, and its content type.

    `cpu_hour_eur` is what an hour of a processor costs; at 0 nothing is said of costs.
    """
    encoded, content_type = choose_encoder(accept)
    parts, end = [], b""
    for part in _Families(counted, cpu_hour_eur / 3600).parts():
        metric, lines = part if isinstance(part, _OfSeries) else (part, [])
        text = encoded(_Single(metric))
        if text.endswith(_END):
            text, end = text.removesuffix(_END), _END
        elif metric.name in _TRITONS:  # where, as Triton has it, a counter may have any name
            text = text.replace(b" untyped\n", b" counter\n")
        parts += [text, "".join(lines).encode()]
    return b"".join([*parts, end]), content_type


class _Single(Collector):
    """One metric."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterator[Metric]:
        """Yield it."""
        yield self._metric


class _Families:
    """The metrics, in the order in which they are listed."""

    def __init__(self, counted: Counted, cpu_s_eur: float) -> None:
        self._counted = counted
        self._series = counted.series
        self._cpu_s_eur = cpu_s_eur

    def parts(self) -> Iterator[Metric | _OfSeries]:
        """Yield each metric with all that it has."""
        yield _gauge("factory_workers", "Processes of this gateway that answer", self._counted.workers)
        yield from self._requests()
        yield from self._queues()
        errors = {str(status): count for status, count in self._counted.errors.items()}
        yield _counter("factory_http_errors_total", "Requests answered with an error, by HTTP status", "status", errors)
        yield from self._costs()
        yield from self._recorded()
        yield from self._releases()
        yield from self._trials()
        yield from self._snapshots()

    def _requests(self) -> Iterator[Metric | _OfSeries]:
        for name, meaning in COUNTERS.items():
            yield _counter_of_series(name, meaning, {whose: one.counts[name] for whose, one in self._series.items()})
        durations = {whose: one.durations for whose, one in self._series.items()}
        name, meaning = (
            "factory_inference_duration_seconds",
            "Time from a request's last byte to its answer; a shadow's model alone",
        )
        yield _histogram(name, meaning, BUCKETS_S, durations)

    def _queues(self) -> Iterator[Metric | _OfSeries]:
        batches = {whose: one.batches for whose, one in self._series.items()}
        yield _histogram("factory_batch_rows", "Rows in one call of the model", BATCH_ROWS, batches)
        waiting = {whose: one.waiting_rows for whose, one in self._series.items()}
        yield _gauge_of_series("factory_waiting_rows", "Rows that no call of the model has taken yet", waiting)

    def _costs(self) -> Iterator[Metric | _OfSeries]:
        cpu_s = {whose: one.cpu_s for whose, one in self._series.items()}
        name, meaning = "factory_model_cpu_seconds_total", "Processor time that calls of the model took"
        yield _counter_of_series(name, meaning, cpu_s)
        if not self._cpu_s_eur:
            return
        costs = {whose: took_s * self._cpu_s_eur for whose, took_s in cpu_s.items()}
        meaning = "What the calls of the model cost, by their processor time, in EUR"
        yield _counter_of_series("factory_model_cost_eur_total", meaning, costs)
        rows = {whose: one.counts["nv_inference_count"] for whose, one in self._series.items()}
        means = {whose: 1000 * costs[whose] / count for whose, count in rows.items() if count}
        meaning = "What 1,000 rows answered cost on average since the start, in EUR"
        yield _gauge_of_series("factory_cost_per_1000_predictions_eur", meaning, means)

    def _recorded(self) -> Iterator[Metric]:
        if (records := self._counted.records) is None:
            return
        name, meaning = "factory_records_written", "Predictions recorded on the disk"
        yield CounterMetricFamily(name, meaning, value=records.written)
        yield CounterMetricFamily("factory_records_dropped", "Predictions that are in no record", value=records.dropped)
        yield _gauge("factory_records_failing", "1 while the disk takes no records", int(records.failing))

    def _releases(self) -> Iterator[Metric | _OfSeries]:
        meaning = "Models in memory whole, in each process that holds them"
        yield _gauge("factory_models_awake", meaning, self._counted.awake)
        meaning = "Releases that were not loaded: digest, signature or verdict do not fit"
        yield _counter("factory_release_refused_total", meaning, "model", self._counted.refused_releases)
        meaning = "When what is served was released, Unix time"
        yield _gauge_of_series("factory_model_released_seconds", meaning, self._counted.released)

    def _trials(self) -> Iterator[Metric | _OfSeries]:
        meaning = "Share of requests that go to, or are copied to, a trial"
        yield _gauge_of_series("factory_trial_share", meaning, self._counted.shares)
        meaning = "Trials that were not loaded: file, digest, signature or verdict do not fit"
        yield _counter("factory_trial_refused_total", meaning, "model", self._counted.refused_trials)

    def _snapshots(self) -> Iterator[Metric]:
        meaning = "The newest row that features of a line's business rows know of, Unix time"
        known_until = GaugeMetricFamily("factory_online_snapshot_known_until_seconds", meaning, labels=["line"])
        for line, at in sorted(self._counted.snapshots.items()):
            known_until.add_metric([line], at)
        yield known_until
        meaning = "Snapshots that were not loaded: signature, digest or code do not fit"
        yield _counter("factory_online_snapshot_refused_total", meaning, "line", self._counted.refused_snapshots)


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(name, meaning, value=value)


def _counter(name: str, meaning: str, label: str, counts: Mapping[str, int]) -> Metric:
    """Return counts by one label."""
    family = CounterMetricFamily(name.removesuffix(_TOTAL), meaning, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family


def _counter_of_series(name: str, meaning: str, values: Mapping[Labels, float]) -> _OfSeries:
    kind: Callable[[str, str], Metric] = CounterMetricFamily
    if name in _TRITONS:
        kind = UnknownMetricFamily
    return _OfSeries(kind(name.removesuffix(_TOTAL), meaning), _lines(name, values))


def _gauge_of_series(name: str, meaning: str, values: Mapping[Labels, float]) -> _OfSeries:
    return _OfSeries(GaugeMetricFamily(name, meaning), _lines(name, values))


def _lines(name: str, values: Mapping[Labels, float]) -> list[str]:
    return [f"{name}{_written(labels)} {_number(value)}\n" for labels, value in values.items()]


def _histogram(name: str, meaning: str, edges: Sequence[float], sizes: Mapping[Labels, Sizes]) -> _OfSeries:
    lines, limits = [], (*map(str, edges), "+Inf")
    for labels, one in sizes.items():
        before, after = _around_edge(labels)
        for limit, count in zip(limits, accumulate(one.buckets), strict=True):
            lines.append(f"{name}_bucket{before}{limit}{after} {_number(count)}\n")
        written = _written(labels)
        lines.append(f"{name}_count{written} {_number(one.count)}\n{name}_sum{written} {_number(one.total)}\n")
    return _OfSeries(HistogramMetricFamily(name, meaning), lines)


@lru_cache(16_384)
def _written(labels: Labels, **more: str) -> str:
    """Return labels as they stand behind a metric's name, in every form of the text."""
    family = GaugeMetricFamily("x", "", labels=(*labels._fields, *more))
    family.add_metric((*labels, *more.values()), 0)
    encoded, _ = choose_encoder("")
    text = str(encoded(_Single(family)).decode())
    return text.removesuffix(" 0.0\n").rpartition("\n")[2].removeprefix("x")


@lru_cache(16_384)
def _around_edge(labels: Labels) -> tuple[str, str]:
    """Return labels as they stand behind a bucket's name, before and after its edge."""
    before, _, after = _written(labels, le=_EDGE).partition(_EDGE)
    return before, after


def _number(value: float) -> str:
    if isinstance(value, int) and value < _WHOLE:
        return f"{value}.0"
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]
