"""Loading this project's definitions against `import dagster` alone, each in a fresh process.

    python benchmarks/definitions_load.py

Prints the ratio of medians (aim: at most 1.4) and which heavy libraries loading pulled in (aim: none).
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNS = 7
HEAVY = ("torch", "mlflow", "great_expectations", "sklearn", "onnx", "onnxruntime")
LOAD = "import definitions; definitions.defs()"
TELL = f"; import sys; print(*[m for m in {HEAVY} if m in sys.modules])"


def seconds(code: str) -> float:
    """Return how long a fresh interpreter takes to run the code."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    return time.perf_counter() - started


def main() -> None:
    """Time the two in turn and print the figures."""
    pairs = [(seconds(LOAD), seconds("import dagster")) for _ in range(RUNS + 1)][1:]  # the first pair warms the disk
    ours, peer = (statistics.median(side) for side in zip(*pairs, strict=True))
    told = subprocess.run([sys.executable, "-c", LOAD + TELL], cwd=ROOT, check=True, capture_output=True, text=True)
    print(f"load definitions {ours:.2f} s, import dagster {peer:.2f} s, ratio {ours / peer:.2f} (aim <= 1.4)")
    print(f"heavy libraries loaded: {told.stdout.strip() or 'none'}")


if __name__ == "__main__":
    main()
