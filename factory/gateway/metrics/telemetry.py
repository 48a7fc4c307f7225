"""What the gateway counts while it answers; `counted` gives it as data."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from factory.gateway.metrics.counts import BATCH_ROWS, BUCKETS_S, COUNTERS, Counted, Labels, Numbers, Recorded, Sizes
from factory.monitoring.prediction_log.files import Role
from factory.release import Manifest


class RecordCounts(Protocol):
    """What became of the predictions that were to be recorded."""

    written: int
    dropped: int
    failing: bool


class Histogram:
    """Counts by size."""

    def __init__(self, edges: Sequence[float]) -> None:
        self._edges = edges
        self._buckets = [0] * (len(edges) + 1)
        self._sum = 0.0

    def add(self, *values: float) -> None:
        """Count some values."""
        edges, buckets = self._edges, self._buckets
        for value in values:
            buckets[bisect_left(edges, value)] += 1
        self._sum += sum(values)

    @property
    def sizes(self) -> Sizes:
        """What was counted until now."""
        return Sizes(tuple(self._buckets), self._sum)


class Series:
    """The numbers of one version of one model in one role; they outlive it, as counters should."""

    def __init__(self, manifest: Manifest, role: Role = "champion") -> None:
        self.labels = Labels(
            model=manifest.model, version=str(manifest.version), line=manifest.line, site=manifest.site, role=role
        )
        self.counts = dict.fromkeys(COUNTERS, 0)
        self.cpu_s = 0.0
        """Processor time that the calls of the model took."""
        self.waiting_rows: Callable[[], int] = int
        self._durations = Histogram(BUCKETS_S)
        self._batches = Histogram(BATCH_ROWS)

    def answered(self, rows: int, *seconds: float) -> None:
        """Count requests that were answered, how many rows they had in all, and how long each took."""
        self.counts["nv_inference_request_success"] += len(seconds)
        self.counts["nv_inference_count"] += rows
        self._durations.add(*seconds)

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

    def built(self, rows: int, refused: int) -> None:
        """Count business rows whose features were built, and those that are not answered."""
        self.counts["factory_business_rows_built_total"] += rows
        self.counts["factory_business_rows_refused_total"] += refused

    def failed(self) -> None:
        """Count one request that was answered with an error."""
        self.counts["nv_inference_request_failure"] += 1

    def dropped(self) -> None:
        """Count one copy that a busy shadow was not asked."""
        self.counts["factory_copies_dropped_total"] += 1

    @property
    def numbers(self) -> Numbers:
        """What was counted until now."""
        return Numbers(
            counts=dict(self.counts),
            cpu_s=self.cpu_s,
            waiting_rows=self.waiting_rows(),
            durations=self._durations.sizes,
            batches=self._batches.sizes,
        )


class Telemetry:
    """Everything counted since the gateway started."""

    def __init__(self) -> None:
        self.refused_releases: Counter[str] = Counter()
        self.refused_trials: Counter[str] = Counter()
        self.refused_snapshots: Counter[str] = Counter()
        self.snapshots: Callable[[], Mapping[str, float]] = dict
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

    def counted(self, served: Iterable[Manifest], shares: Mapping[Labels, float]) -> Counted:
        """Return all of it as it is now; `shares` are those of trials that run."""
        return Counted(
            workers=1,
            series={series.labels: series.numbers for series in self._series.values()},
            errors=dict(self.errors),
            records=self._recorded(),
            awake=self.awake(),
            refused_releases=dict(self.refused_releases),
            refused_trials=dict(self.refused_trials),
            released={self.of(one).labels: datetime.fromisoformat(one.released_at).timestamp() for one in served},
            shares=dict(shares),
            snapshots=self.snapshots(),
            refused_snapshots=dict(self.refused_snapshots),
        )

    def _recorded(self) -> Recorded | None:
        kept = self.records
        return Recorded(written=kept.written, dropped=kept.dropped, failing=kept.failing) if kept else None
