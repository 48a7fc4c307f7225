"""What was counted, as Prometheus' text: each metric's kind, and what it is the number of."""

from collections.abc import Iterator, Mapping, Sequence

from factory.gateway.metrics.counts import BATCH_ROWS, BUCKETS_S, COUNTERS, Counted, Numbers, Sizes

_COST, _MEAN_COST = "factory_model_cost_eur_total", "factory_cost_per_1000_predictions_eur"
_BySeries = Mapping[str, Numbers]


def metrics_text(counted: Counted, cpu_hour_eur: float = 0.0) -> str:
    """Return everything in Prometheus' text format 0.0.4.

    `cpu_hour_eur` is what an hour of a processor costs; at 0 nothing is said of costs.
    """
    parts = (
        _processes(counted),
        _requests(counted.series),
        _queues(counted.series),
        _errors(counted.errors),
        _costs(counted.series, cpu_hour_eur / 3600),
        _recorded(counted),
        _releases(counted),
        _trials(counted),
        _contexts(counted),
    )
    return "\n".join(line for part in parts for line in part) + "\n"


def _processes(counted: Counted) -> Iterator[str]:
    yield from _head("factory_workers", "gauge", "Processes of this gateway that answer")
    yield f"factory_workers {counted.workers}"


def _requests(series: _BySeries) -> Iterator[str]:
    for name, meaning in COUNTERS.items():
        yield from _head(name, "counter", meaning)
        yield from (f"{name}{{{labels}}} {one.counts[name]}" for labels, one in series.items())
    name = "factory_inference_duration_seconds"
    yield from _head(name, "histogram", "Time from a request's last byte to its answer")
    for labels, one in series.items():
        yield from _histogram(name, labels, BUCKETS_S, one.durations)


def _queues(series: _BySeries) -> Iterator[str]:
    yield from _head("factory_batch_rows", "histogram", "Rows in one call of the model")
    for labels, one in series.items():
        yield from _histogram("factory_batch_rows", labels, BATCH_ROWS, one.batches)
    yield from _head("factory_waiting_rows", "gauge", "Rows that no call of the model has taken yet")
    yield from (f"factory_waiting_rows{{{labels}}} {one.waiting_rows}" for labels, one in series.items())


def _errors(errors: Mapping[int, int]) -> Iterator[str]:
    yield from _head("factory_http_errors_total", "counter", "Requests answered with an error, by HTTP status")
    yield from (f'factory_http_errors_total{{status="{status}"}} {n}' for status, n in sorted(errors.items()))


def _costs(series: _BySeries, cpu_s_eur: float) -> Iterator[str]:
    name = "factory_model_cpu_seconds_total"
    yield from _head(name, "counter", "Processor time that calls of the model took")
    yield from (f"{name}{{{labels}}} {one.cpu_s:.9g}" for labels, one in series.items())
    if not cpu_s_eur:
        return
    yield from _head(_COST, "counter", "What the calls of the model cost, by their processor time, in EUR")
    yield from (f"{_COST}{{{labels}}} {one.cpu_s * cpu_s_eur:.9g}" for labels, one in series.items())
    yield from _head(_MEAN_COST, "gauge", "What 1,000 rows answered cost on average since the start, in EUR")
    for labels, one in series.items():
        if rows := one.counts["nv_inference_count"]:
            yield f"{_MEAN_COST}{{{labels}}} {1000 * one.cpu_s * cpu_s_eur / rows:.9g}"


def _recorded(counted: Counted) -> Iterator[str]:
    if counted.records is None:
        return
    yield from _head("factory_records_written_total", "counter", "Predictions recorded on the disk")
    yield f"factory_records_written_total {counted.records.written}"
    yield from _head("factory_records_dropped_total", "counter", "Predictions that are in no record")
    yield f"factory_records_dropped_total {counted.records.dropped}"
    yield from _head("factory_records_failing", "gauge", "1 while the disk takes no records")
    yield f"factory_records_failing {int(counted.records.failing)}"


def _releases(counted: Counted) -> Iterator[str]:
    yield from _head("factory_models_awake", "gauge", "Models in memory whole, in each process that holds them")
    yield f"factory_models_awake {counted.awake}"
    name = "factory_release_refused_total"
    yield from _head(name, "counter", "Releases that were not loaded: digest, signature or verdict do not fit")
    yield from _by_model(name, counted.refused_releases)
    yield from _head("factory_model_released_seconds", "gauge", "When what is served was released, Unix time")
    yield from (f"factory_model_released_seconds{{{labels}}} {at:.3f}" for labels, at in counted.released.items())


def _trials(counted: Counted) -> Iterator[str]:
    yield from _head("factory_trial_share", "gauge", "Share of requests that go to, or are copied to, a trial")
    yield from (f"factory_trial_share{{{labels}}} {share:g}" for labels, share in sorted(counted.shares.items()))
    name = "factory_trial_refused_total"
    yield from _head(name, "counter", "Trials that were not loaded: file, digest, signature or verdict do not fit")
    yield from _by_model(name, counted.refused_trials)


def _contexts(counted: Counted) -> Iterator[str]:
    name = "factory_context_known_until_seconds"
    yield from _head(name, "gauge", "The newest row that features of a line's business rows know of, Unix time")
    yield from (f'{name}{{line="{line}"}} {at:.3f}' for line, at in sorted(counted.contexts.items()))
    name = "factory_context_refused_total"
    yield from _head(name, "counter", "Contexts that were not loaded: signature, digest or code do not fit")
    yield from (f'{name}{{line="{line}"}} {count}' for line, count in sorted(counted.refused_contexts.items()))


def _by_model(name: str, counts: Mapping[str, int]) -> Iterator[str]:
    yield from (f'{name}{{model="{model}"}} {count}' for model, count in sorted(counts.items()))


def _histogram(name: str, labels: str, edges: Sequence[float], sizes: Sizes) -> Iterator[str]:
    """Yield one cumulative line a bucket, the sum and the count."""
    total = 0
    for edge, count in zip((*map(str, edges), "+Inf"), sizes.buckets, strict=True):
        total += count
        yield f'{name}_bucket{{{labels},le="{edge}"}} {total}'
    yield f"{name}_sum{{{labels}}} {sizes.total:.9g}"
    yield f"{name}_count{{{labels}}} {total}"


def _head(name: str, kind: str, meaning: str) -> tuple[str, str]:
    return f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"
