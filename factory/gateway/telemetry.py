"""What the gateway counts, as Prometheus text."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from factory.gateway.record_file import Role
from factory.gateway.served_model import ServedModel
from factory.repository import Manifest

BATCH_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)
BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)

_COUNTERS = {
    "nv_inference_request_success": "Inference requests answered",
    "nv_inference_request_failure": "Inference requests answered with an error",
    "nv_inference_count": "Rows answered",
    "nv_inference_exec_count": "Calls of the model, each on the rows of one or more requests",
    "factory_rows_outside_total": "Rows answered though they lie outside the training ranges",
    "factory_rows_abstained_total": "Rows not answered, for they lie outside the training ranges",
    "factory_copies_dropped_total": "Copies of requests that a shadow was too busy to be asked",
    "factory_reason_rows_total": "Rows that a model was asked only to name the reasons of its answers",
}
_COST, _MEAN_COST = "factory_model_cost_eur_total", "factory_cost_per_1000_predictions_eur"


class RecordCounts(Protocol):
    """What became of the predictions that were to be recorded."""

    written: int
    dropped: int
    failing: bool


class Histogram:
    """Counts by size, in Prometheus' cumulative form."""

    def __init__(self, edges: Sequence[float]) -> None:
        self._edges = edges
        self._buckets = [0] * (len(edges) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self._buckets[bisect_left(self._edges, value)] += 1
        self._sum += value

    @property
    def mean(self) -> float:
        """The mean of all values; 0 before the first."""
        return self._sum / max(1, sum(self._buckets))

    def lines(self, name: str, labels: str) -> Iterator[str]:
        """Yield one line a bucket, the sum and the count."""
        total = 0
        for edge, count in zip((*map(str, self._edges), "+Inf"), self._buckets, strict=True):
            total += count
            yield f'{name}_bucket{{{labels},le="{edge}"}} {total}'
        yield f"{name}_sum{{{labels}}} {self._sum:.9g}"
        yield f"{name}_count{{{labels}}} {total}"


class Series:
    """The numbers of one version of one model in one role; they outlive it, as counters should."""

    def __init__(self, manifest: Manifest, role: Role = "champion") -> None:
        whose = f'model="{manifest.model}",version="{manifest.version}",line="{manifest.line}",site="{manifest.site}"'
        self.labels = f'{whose},role="{role}"'
        self.counts = dict.fromkeys(_COUNTERS, 0)
        self.cpu_s = 0.0
        """Processor time that the calls of the model took."""
        self.waiting_rows: Callable[[], int] = int
        self._durations = Histogram(BUCKETS_S)
        self._batches = Histogram(BATCH_ROWS)

    def answered(self, seconds: float, rows: int) -> None:
        """Count one request that was answered, and how long that took."""
        self.counts["nv_inference_request_success"] += 1
        self.counts["nv_inference_count"] += rows
        self._durations.add(seconds)

    def ran(self, rows: int, for_reasons: int, cpu_s: float) -> None:
        """Count one call of the model on so many rows, those that only name reasons among them."""
        self.counts["nv_inference_exec_count"] += 1
        self.counts["factory_reason_rows_total"] += for_reasons
        self.cpu_s += cpu_s
        self._batches.add(rows)

    def saw_outside(self, rows: int) -> None:
        """Count rows outside the training ranges that were answered."""
        self.counts["factory_rows_outside_total"] += rows

    def abstained(self, rows: int) -> None:
        """Count rows outside the training ranges that were not answered."""
        self.counts["factory_rows_abstained_total"] += rows

    def failed(self) -> None:
        """Count one request that was answered with an error."""
        self.counts["nv_inference_request_failure"] += 1

    def dropped(self) -> None:
        """Count one copy that a busy shadow was not asked."""
        self.counts["factory_copies_dropped_total"] += 1

    @property
    def mean_s(self) -> float:
        """How long a request took on average; 0 before the first."""
        return self._durations.mean

    def durations(self, name: str) -> Iterator[str]:
        """Yield the lines of the duration's histogram."""
        return self._durations.lines(name, self.labels)

    def batches(self, name: str) -> Iterator[str]:
        """Yield the lines of the batches' histogram."""
        return self._batches.lines(name, self.labels)


class Telemetry:
    """Everything counted since the gateway started."""

    def __init__(self, cpu_hour_eur: float = 0.0) -> None:
        """`cpu_hour_eur` is what an hour of a processor costs; at 0 nothing is said of costs."""
        self._cpu_s_eur = cpu_hour_eur / 3600
        self.refused_releases: Counter[str] = Counter()
        self.refused_trials: Counter[str] = Counter()
        self.errors: Counter[int] = Counter()
        self.records: RecordCounts | None = None
        self.awake: Callable[[], int] = int
        self._series: dict[tuple[str, int, Role], Series] = {}

    def of(self, manifest: Manifest, role: Role = "champion") -> Series:
        """Return the numbers of a model's version in a role."""
        place = (manifest.model, manifest.version, role)
        if place not in self._series:
            self._series[place] = Series(manifest, role)
        return self._series[place]

    def text(self, served: Iterable[ServedModel], shares: Mapping[str, float]) -> str:
        """Return everything in Prometheus' text format 0.0.4; `shares` are those of trials that run, by labels."""
        parts = (self._requests(), self._costs(), self._recorded(), self._releases(served), self._trials(shares))
        return "\n".join(line for part in parts for line in part) + "\n"

    def _requests(self) -> Iterator[str]:
        for name, meaning in _COUNTERS.items():
            yield from _head(name, "counter", meaning)
            yield from (f"{name}{{{series.labels}}} {series.counts[name]}" for series in self._series.values())
        name = "factory_inference_duration_seconds"
        yield from _head(name, "histogram", "Time from a request's last byte to its answer")
        for series in self._series.values():
            yield from series.durations(name)
        yield from self._queues()
        yield from _head("factory_http_errors_total", "counter", "Requests answered with an error, by HTTP status")
        yield from (f'factory_http_errors_total{{status="{status}"}} {n}' for status, n in sorted(self.errors.items()))

    def _queues(self) -> Iterator[str]:
        yield from _head("factory_batch_rows", "histogram", "Rows in one call of the model")
        for series in self._series.values():
            yield from series.batches("factory_batch_rows")
        yield from _head("factory_waiting_rows", "gauge", "Rows that no call of the model has taken yet")
        for series in self._series.values():
            yield f"factory_waiting_rows{{{series.labels}}} {series.waiting_rows()}"

    def _costs(self) -> Iterator[str]:
        name, every = "factory_model_cpu_seconds_total", self._series.values()
        yield from _head(name, "counter", "Processor time that calls of the model took")
        yield from (f"{name}{{{series.labels}}} {series.cpu_s:.9g}" for series in every)
        if not self._cpu_s_eur:
            return
        yield from _head(_COST, "counter", "What the calls of the model cost, by their processor time, in EUR")
        yield from (f"{_COST}{{{series.labels}}} {series.cpu_s * self._cpu_s_eur:.9g}" for series in every)
        yield from _head(_MEAN_COST, "gauge", "What 1,000 rows answered cost on average since the start, in EUR")
        for series in every:
            if rows := series.counts["nv_inference_count"]:
                yield f"{_MEAN_COST}{{{series.labels}}} {1000 * series.cpu_s * self._cpu_s_eur / rows:.9g}"

    def _recorded(self) -> Iterator[str]:
        if self.records is None:
            return
        yield from _head("factory_records_written_total", "counter", "Predictions recorded on the disk")
        yield f"factory_records_written_total {self.records.written}"
        yield from _head("factory_records_dropped_total", "counter", "Predictions that are in no record")
        yield f"factory_records_dropped_total {self.records.dropped}"
        yield from _head("factory_records_failing", "gauge", "1 while the disk takes no records")
        yield f"factory_records_failing {int(self.records.failing)}"

    def _trials(self, shares: Mapping[str, float]) -> Iterator[str]:
        yield from _head("factory_trial_share", "gauge", "Share of requests that go to, or are copied to, a trial")
        yield from (f"factory_trial_share{{{labels}}} {share:g}" for labels, share in sorted(shares.items()))
        name = "factory_trial_refused_total"
        yield from _head(name, "counter", "Trials that were not loaded: file, digest, signature or verdict do not fit")
        yield from (f'{name}{{model="{model}"}} {count}' for model, count in sorted(self.refused_trials.items()))

    def _releases(self, served: Iterable[ServedModel]) -> Iterator[str]:
        yield from _head("factory_models_awake", "gauge", "Models in memory whole")
        yield f"factory_models_awake {self.awake()}"
        name = "factory_release_refused_total"
        yield from _head(name, "counter", "Releases that were not loaded: digest, signature or verdict do not fit")
        yield from (f'{name}{{model="{model}"}} {count}' for model, count in sorted(self.refused_releases.items()))
        yield from _head("factory_model_released_seconds", "gauge", "When what is served was released, Unix time")
        for model in served:
            labels = self.of(model.manifest).labels
            yield f"factory_model_released_seconds{{{labels}}} {model.since.timestamp():.3f}"


def _head(name: str, kind: str, meaning: str) -> tuple[str, str]:
    return f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"
