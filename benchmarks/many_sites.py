"""What a site costs, by how many there are: whole lines of 25 to 400 made-up shops with 300 rows each.

    python benchmarks/many_sites.py [25 100 200 400]

Each line is made by `factory new project` and `factory new line` in a folder of its own, and run by `factory run`; CPU
seconds are those of the run and all its processes. The second run has nothing to do. A cost that grows with the sites
shows the same seconds a site in every row.
"""

import argparse
import random
import resource
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROWS = 300
BIN = Path(sys.executable).parent


def orders(sites: int, seed: int = 1) -> str:
    """Return a table of orders as CSV: whether one comes back depends on its price, its items and the shop."""
    chance, start = random.Random(seed), datetime(2026, 1, 1, tzinfo=UTC)  # noqa: S311  made-up rows
    lines = ["order_id,ordered_at,shop,price,items,returned"]
    for site in range(sites):
        taste = chance.gauss(0, 10)
        for number in range(ROWS):
            price, items = chance.uniform(5, 100), chance.randint(1, 5)
            returned = price + taste + 5 * items + chance.gauss(0, 15) > 80
            at = start + timedelta(hours=number * 8, minutes=site % 60)
            lines.append(
                f"{site * ROWS + number},{at:%Y-%m-%dT%H:%M:%S},shop{site:04},{price:.2f},{items},{int(returned)}"
            )
    return "\n".join(lines) + "\n"


def cpu_s() -> float:
    """Return the CPU seconds of all finished child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def typed(folder: Path, *words: str) -> float:
    """Type a command of the factory's in a folder; return the CPU seconds it took."""
    before = cpu_s()
    done = subprocess.run([BIN / "factory", *words], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"factory {' '.join(words)}: {done.stdout}{done.stderr}")
    return cpu_s() - before


def measured(sites: int) -> tuple[float, float]:
    """Return the CPU seconds of a line's first run, and of a second one that has nothing to do."""
    with tempfile.TemporaryDirectory() as scratch:
        typed(Path(scratch), "new", "project", "shops")
        project = Path(scratch) / "shops"
        (project / "orders.csv").write_text(orders(sites))
        words = ["--from", "orders.csv", "--target", "returned", "--time", "ordered_at", "--site", "shop"]
        typed(project, "new", "line", "orders", *words)
        return typed(project, "run", "orders"), typed(project, "run", "orders")


def main() -> None:
    """Print a row for each number of sites."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sites", nargs="*", type=int, default=[25, 100, 200, 400])
    print("sites   first run   a site   again   a site   (CPU seconds)")
    for sites in parser.parse_args().sites:
        first, again = measured(sites)
        print(f"{sites:5} {first:11.1f} {first / sites:8.2f} {again:7.1f} {again / sites:8.3f}", flush=True)


if __name__ == "__main__":
    main()
