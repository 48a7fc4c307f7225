"""The text of `/metrics` for many models, beside `prometheus-client` writing the very same lines.

python benchmarks/metrics.py [models]
"""

import argparse
import time
from collections.abc import Callable, Iterator

from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from factory.gateway.metrics.counts import BATCH_ROWS, BUCKETS_S, COUNTERS, Counted, Labels, Numbers, Sizes
from factory.gateway.metrics.exposition import metrics_text


class Parsed(Collector):
    """The metrics of a text."""

    def __init__(self, text: bytes) -> None:
        self._families = list(text_string_to_metric_families(text.decode()))

    def collect(self) -> Iterator[Metric]:
        """Yield them."""
        yield from self._families


def counted(models: int) -> Counted:
    """Return numbers of so many models, no two alike."""
    series = {
        Labels(model=f"line.site{n}", version=str(n % 9 + 1), line="line", site=f"site{n}", role="champion"): Numbers(
            counts={name: 7 * n + place for place, name in enumerate(COUNTERS)},
            cpu_s=n / 7,
            waiting_rows=0,
            durations=Sizes(tuple(range(n, n + len(BUCKETS_S) + 1)), n / 3),
            batches=Sizes(tuple(range(n, n + len(BATCH_ROWS) + 1)), float(n)),
        )
        for n in range(models)
    }
    return Counted(workers=1, series=series, released=dict.fromkeys(series, 1.7e9))


def seconds(made: Callable[[], object]) -> list[float]:
    """Return the processor time that each of five calls takes."""
    took = []
    for _ in range(5):
        began = time.process_time()
        made()
        took.append(time.process_time() - began)
    return took


def main() -> None:
    """Print both, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="?", type=int, default=1000)
    numbers = counted(parser.parse_args().models)
    first, *again = seconds(lambda: metrics_text(numbers))
    text, _ = metrics_text(numbers)
    parsed = Parsed(text)
    peer = min(seconds(lambda: generate_latest(parsed)))
    lines = text.count(b"\n")
    print(f"{lines:,} lines, {len(text) / 1e6:.1f} MB")
    print(f"gateway            {min(again):.3f} s, the first time {first:.3f} s")
    print(f"prometheus-client  {peer:.3f} s, {peer / min(again):.0f} times as long")


if __name__ == "__main__":
    main()
