"""Loading definitions against `import dagster` alone, each in a fresh process: this project's lines, and many lines.

    python benchmarks/definitions_load.py [--lines 2 10 50]

Prints the ratio of medians for this project (aim: at most 1.4), which heavy libraries loading pulled in (aim: none),
and the seconds that projects of so many lines take; their lines are copies of those shipped, under other names.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNS = 5
HEAVY = ("torch", "mlflow", "great_expectations", "sklearn", "onnx", "onnxruntime")
LOAD = "import definitions; definitions.defs()"
TELL = f"; import sys; print(*[m for m in {HEAVY} if m in sys.modules])"
IMPORT = "import dagster"


def seconds(code: str, project: Path = ROOT) -> float:
    """Return how long a fresh interpreter takes to run the code in a project."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=project, check=True)
    return time.perf_counter() - started


def of_many(lines: int, project: Path) -> Path:
    """Make a project of so many lines in a folder and return it."""
    for room in ("assets", "resources", "factory", "workspace.yaml", "pyproject.toml"):
        (project / room).symlink_to(ROOT / room)
    shutil.copy(ROOT / "definitions.py", project)
    folders = sorted(file.parent for file in (ROOT / "lines").glob("*/defs.yaml"))
    leave = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "lines", project / "lines", ignore=leave)  # the copies name these as their code
    for number in range(len(folders), lines):
        folder = folders[number % len(folders)]
        shutil.copytree(folder, project / "lines" / f"{folder.name}_{number}", ignore=leave)
    return project


def main(sizes: list[int]) -> None:
    """Time each against `import dagster` in turn and print the figures."""
    ours, peer = paired(ROOT)
    told = subprocess.run([sys.executable, "-c", LOAD + TELL], cwd=ROOT, check=True, capture_output=True, text=True)
    print(f"load definitions {ours:.2f} s, import dagster {peer:.2f} s, ratio {ours / peer:.2f} (aim <= 1.4)")
    print(f"heavy libraries loaded: {told.stdout.strip() or 'none'}")
    for lines in sizes:
        with tempfile.TemporaryDirectory() as folder:
            ours, peer = paired(of_many(lines, Path(folder)))
        print(f"{lines:>3} lines: {ours:.2f} s, {(ours - peer) / lines * 1000:.0f} ms a line above import dagster")


def paired(project: Path) -> tuple[float, float]:
    """Return the medians of loading the project and of importing Dagster, measured in turn."""
    pairs = [(seconds(LOAD, project), seconds(IMPORT, project)) for _ in range(RUNS + 1)][
        1:
    ]  # the first warms the disk
    ours, peer = (statistics.median(side) for side in zip(*pairs, strict=True))
    return ours, peer


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, nargs="*", default=[2, 10, 50])
    main(parser.parse_args().lines)
