"""What a server does under load: `wrk` asks for some seconds; out come the figures of the server, and of wrk itself."""

import re
import resource
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was measured of one server at one load."""

    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    """Processor microseconds a request, of all processes of the server."""
    wrk_cores: float
    """How much of one core wrk itself took, of those that it shares with the server."""


def loaded(pid: int, url: str, script: str, *, concurrency: int, seconds: int, timeout_s: int = 2) -> Figures:
    """Have wrk ask as its script says, and return what came of it; any answer but 2xx is a failure.

    What takes longer than `timeout_s` is missing from wrk's percentiles; its own default is the two seconds.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        words = ["wrk", "-t1", f"-c{concurrency}", f"-d{seconds}s", f"--timeout={timeout_s}s", "--latency"]
        words += ["-s", file.name, url]
        before, wrk_before, start = cpu_s(pid), waited_cpu_s(), time.perf_counter()
        text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        after, wrk_after, took_s = cpu_s(pid), waited_cpu_s(), time.perf_counter() - start
    assert "Non-2xx" not in text, f"{url}: {text}"
    requests = int(re.search(r"(\d+) requests in", text)[1])  # type: ignore[index]
    return Figures(
        per_s=float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]),  # type: ignore[index]
        p50_ms=milliseconds(text, "50%"),
        p99_ms=milliseconds(text, "99%"),
        cpu_us=(after - before) / max(1, requests) * 1e6,
        wrk_cores=(wrk_after - wrk_before) / took_s,
    )


def waited_cpu_s() -> float:
    """Return the processor seconds of the children that have ended: while a server runs, those of wrk."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def milliseconds(text: str, line: str) -> float:
    """Return a percentile that wrk printed."""
    number, unit = re.search(rf"{line}\s+([\d.]+)(us|ms|s|m)\b", text).groups()  # type: ignore[union-attr]
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}[unit]


def family(pid: int) -> list[int]:
    """Return a process and all that it started."""
    found = [pid]
    if not Path(f"/proc/{pid}").exists():
        return found
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += family(int(child))
    return found


def runs(pid: int) -> bool:
    """Whether a process has not ended; one that nobody waited for has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def cpu_s(pid: int) -> float:
    """Return the processor seconds that a process and all that it started have used."""
    return (
        sum(
            sum(map(int, Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[11:13]))
            for one in family(pid)
        )
        / 100
    )


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process and all that it started."""
    statuses = [Path(f"/proc/{one}/status").read_text() for one in family(pid)]
    return sum(int(re.search(r"VmRSS:\s+(\d+)", status)[1]) for status in statuses) / 1024  # type: ignore[index]
