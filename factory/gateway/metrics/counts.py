"""What a gateway has counted, as data: what one process tells, and the sum of what several tell.

`plus` adds what is a count of events or of things held. What every process finds out by itself of the one folder that
all follow (refused releases and trials, what is served since when, shares) is one fact and not several: of it the
largest counts.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

BATCH_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)
BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)

COUNTERS = {
    "nv_inference_request_success": "Inference requests answered",
    "nv_inference_request_failure": "Inference requests answered with an error",
    "nv_inference_count": "Rows answered",
    "nv_inference_exec_count": "Calls of the model, each on the rows of one or more requests",
    "factory_rows_outside_total": "Rows answered though they lie outside the training ranges",
    "factory_rows_abstained_total": "Rows not answered, for they lie outside the training ranges",
    "factory_copies_dropped_total": "Copies of requests that a shadow was too busy to be asked",
    "factory_business_rows_built_total": "Business rows whose features were built here",
    "factory_business_rows_refused_total": "Business rows not answered: broken, or beyond the snapshot",
    "factory_reason_rows_total": "Rows that a model was asked only to name the reasons of its answers",
}
"""By name, what is counted of every series."""


class Labels(NamedTuple):
    """Whose numbers they are: one version of one model, in one role."""

    model: str
    version: str
    line: str
    site: str
    role: str


class Sizes(msgspec.Struct, frozen=True):
    """A histogram: how many values each bucket holds, the last of them beyond every edge, and the sum of all values."""

    buckets: tuple[int, ...]
    total: float

    @property
    def count(self) -> int:
        """How many values there are."""
        return sum(self.buckets)

    def plus(self, other: "Sizes") -> "Sizes":
        """Return both together."""
        return Sizes(tuple(a + b for a, b in zip(self.buckets, other.buckets, strict=True)), self.total + other.total)


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted of one version of one model in one role."""

    counts: Mapping[str, int]
    """By the metric's name."""
    cpu_s: float
    waiting_rows: int
    durations: Sizes
    batches: Sizes

    @property
    def mean_s(self) -> float:
        """How long a request took on average; 0 before the first."""
        return self.durations.total / max(1, self.durations.count)

    def plus(self, other: "Numbers") -> "Numbers":
        """Return both together."""
        return Numbers(
            counts=_each(sum, self.counts, other.counts),
            cpu_s=self.cpu_s + other.cpu_s,
            waiting_rows=self.waiting_rows + other.waiting_rows,
            durations=self.durations.plus(other.durations),
            batches=self.batches.plus(other.batches),
        )


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the predictions that were to be recorded."""

    written: int
    dropped: int
    failing: bool

    def plus(self, other: "Recorded") -> "Recorded":
        """Return both together; the disk fails if it fails one of them."""
        return Recorded(
            written=self.written + other.written,
            dropped=self.dropped + other.dropped,
            failing=self.failing or other.failing,
        )


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """All that a gateway counted since it started, and how it stands now."""

    workers: int
    """Processes that told this; 0 of those that are no more."""
    series: Mapping[Labels, Numbers] = {}
    errors: Mapping[int, int] = {}
    """By HTTP status."""
    records: Recorded | None = None
    """None where none are kept."""
    awake: int = 0
    refused_releases: Mapping[str, int] = {}
    refused_trials: Mapping[str, int] = {}
    released: Mapping[Labels, float] = {}
    """Of what is served, since when, Unix time."""
    shares: Mapping[Labels, float] = {}
    """Of each trial that runs, its share of the requests."""
    snapshots: Mapping[str, float] = {}
    """By line, the newest row that its features know of, Unix time; 0 where its tables tell no time."""
    refused_snapshots: Mapping[str, int] = {}

    def plus(self, other: "Counted") -> "Counted":
        """Return what both together have counted."""
        return Counted(
            workers=self.workers + other.workers,
            series=_each(_added, self.series, other.series),
            errors=_each(sum, self.errors, other.errors),
            records=_added([one for one in (self.records, other.records) if one]),
            awake=self.awake + other.awake,
            refused_releases=_each(max, self.refused_releases, other.refused_releases),
            refused_trials=_each(max, self.refused_trials, other.refused_trials),
            released=_each(max, self.released, other.released),
            shares=_each(max, self.shares, other.shares),
            snapshots=_each(max, self.snapshots, other.snapshots),
            refused_snapshots=_each(max, self.refused_snapshots, other.refused_snapshots),
        )

    def ended(self) -> "Counted":
        """Return what stays of it when its process is no more: the counts, and nothing of how it stood."""
        quiet = {labels: msgspec.structs.replace(one, waiting_rows=0) for labels, one in self.series.items()}
        records = msgspec.structs.replace(self.records, failing=False) if self.records else None
        return msgspec.structs.replace(
            self, workers=0, series=quiet, records=records, awake=0, released={}, shares={}, snapshots={}
        )


def _each(joined: Callable[[list[Any]], Any], *parts: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return one value a key, joined of those that the parts have, in the order in which keys are met."""
    keys = dict.fromkeys(key for part in parts for key in part)
    return {key: joined([part[key] for part in parts if key in part]) for key in keys}


def _added(parts: list[Any]) -> Any:
    """Return the one part, both together, or None of none."""
    return parts[0].plus(parts[1]) if len(parts) == 2 else next(iter(parts), None)
