"""What the gateway counts, as Prometheus text."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator

from factory.gateway.served_model import ServedModel
from factory.repository import Manifest

BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)

_COUNTERS = {
    "nv_inference_request_success": "Inference requests answered",
    "nv_inference_request_failure": "Inference requests answered with an error",
    "nv_inference_count": "Rows answered",
}


class Series:
    """The numbers of one version of one model; they outlive it, as counters should."""

    def __init__(self, manifest: Manifest) -> None:
        self.labels = (
            f'model="{manifest.model}",version="{manifest.version}",line="{manifest.line}",site="{manifest.site}"'
        )
        self.counts = dict.fromkeys(_COUNTERS, 0)
        self.seconds = 0.0
        self._buckets = [0] * (len(BUCKETS_S) + 1)

    def answered(self, seconds: float, rows: int) -> None:
        """Count one request that was answered, and how long that took."""
        self.counts["nv_inference_request_success"] += 1
        self.counts["nv_inference_count"] += rows
        self.seconds += seconds
        self._buckets[bisect_left(BUCKETS_S, seconds)] += 1

    def failed(self) -> None:
        """Count one request that was answered with an error."""
        self.counts["nv_inference_request_failure"] += 1

    def histogram(self, name: str) -> Iterator[str]:
        """Yield the lines of the duration's histogram."""
        total = 0
        for edge, count in zip((*map(str, BUCKETS_S), "+Inf"), self._buckets, strict=True):
            total += count
            yield f'{name}_bucket{{{self.labels},le="{edge}"}} {total}'
        yield f"{name}_sum{{{self.labels}}} {self.seconds:.9g}"
        yield f"{name}_count{{{self.labels}}} {total}"


class Telemetry:
    """Everything counted since the gateway started."""

    def __init__(self) -> None:
        self.refused_releases: Counter[str] = Counter()
        self.errors: Counter[int] = Counter()
        self._series: dict[tuple[str, int], Series] = {}

    def of(self, manifest: Manifest) -> Series:
        """Return the numbers of a model's version."""
        place = (manifest.model, manifest.version)
        if place not in self._series:
            self._series[place] = Series(manifest)
        return self._series[place]

    def text(self, served: list[ServedModel]) -> str:
        """Return everything in Prometheus' text format 0.0.4."""
        return "\n".join([*self._requests(), *self._releases(served)]) + "\n"

    def _requests(self) -> Iterator[str]:
        for name, meaning in _COUNTERS.items():
            yield from _head(name, "counter", meaning)
            yield from (f"{name}{{{series.labels}}} {series.counts[name]}" for series in self._series.values())
        name = "factory_inference_duration_seconds"
        yield from _head(name, "histogram", "Time from a request's last byte to its answer")
        for series in self._series.values():
            yield from series.histogram(name)
        yield from _head("factory_http_errors_total", "counter", "Requests answered with an error, by HTTP status")
        yield from (f'factory_http_errors_total{{status="{status}"}} {n}' for status, n in sorted(self.errors.items()))

    def _releases(self, served: list[ServedModel]) -> Iterator[str]:
        name = "factory_release_refused_total"
        yield from _head(name, "counter", "Releases that were not loaded: digest, signature or verdict do not fit")
        yield from (f'{name}{{model="{model}"}} {count}' for model, count in sorted(self.refused_releases.items()))
        yield from _head("factory_model_released_seconds", "gauge", "When what is served was released, Unix time")
        for model in served:
            labels = self.of(model.manifest).labels
            yield f"factory_model_released_seconds{{{labels}}} {model.since.timestamp():.3f}"


def _head(name: str, kind: str, meaning: str) -> tuple[str, str]:
    return f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"
