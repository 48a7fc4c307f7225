"""The whole line through the factory against a plain script that does the same work without it.

    python benchmarks/whole_line.py [--rounds N]

Both run in fresh processes, in turn; prints seconds, peak memory and the ratio of medians (aim: at most 1.3), and what
a second run over unchanged data takes.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(command: list[str], folder: Path) -> tuple[float, float]:
    """Return wall seconds and peak memory in GB of a process and its children."""
    started = time.perf_counter()
    log = folder / "out.txt"
    with log.open("w") as out:
        child = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        sys.exit(f"{command} failed:\n{log.read_text()[-2000:]}")
    return seconds, usage.ru_maxrss / 1e6


def main(rounds: int) -> None:
    """Time both in turn and print the figures."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # for both alike
    ours, peers, again = [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            factory = [str(Path(sys.executable).with_name("factory")), "run", "departure_delay"]
            os.environ["FACTORY_HOME"] = str(folder / "home")
            ours.append(run(factory, folder))
            again.append(run(factory, folder))
            peers.append(run([sys.executable, "benchmarks/plain_line.py", str(folder / "plain")], folder))
    mine, theirs, idle = (statistics.median(seconds for seconds, _ in side) for side in (ours, peers, again))
    peaks = [max(memory for _, memory in side) for side in (ours, peers)]
    print(f"factory {mine:.0f} s ({peaks[0]:.1f} GB), plain script {theirs:.0f} s ({peaks[1]:.1f} GB)")
    print(f"ratio {mine / theirs:.2f} (aim <= 1.3); a second run over unchanged data {idle:.0f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    main(parser.parse_args().rounds)
