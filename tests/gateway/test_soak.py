"""Ten minutes of everything at once, without a failed request and without growth."""

import itertools
import random
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from factory.gateway.access.key_file import add_key
from factory.release import Guard
from tests.gateway.builders import Shop, onnx_model, question

ROOT = Path(__file__).resolve().parents[2]
MINUTES = 10
START = (
    "import sys, threading; from pathlib import Path; from factory.gateway.processes.server import Server, Settings; "
    "home = Path(sys.argv[1]); settings = Settings(port=0, keys=home / 'keys' / 'gateway.json', "
    "records=home / 'predictions', max_awake=4); "
    "s = Server(home / 'models', home / 'keys' / 'release.pub', settings); "
    "tell = lambda: (s.started.wait(), print(s.port, flush=True)); threading.Thread(target=tell).start(); s.run()"
)
GUARD = Guard(ranges={"f0": (0.0, 1.0)}, outside="abstain")
SITES = [f"S{number}" for number in range(8)]


@pytest.mark.slow
def test_minutes_of_requests_releases_and_rotated_keys_neither_fail_nor_grow(tmp_path):
    shop = Shop(tmp_path)
    for site in SITES:
        shop.release(onnx_model(), site=site, guard=GUARD)
    secret = add_key(tmp_path / "keys" / "gateway.json", "soak", manage=True)
    words = [sys.executable, "-c", START, str(tmp_path)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        end = time.monotonic() + MINUTES * 60
        seen: dict[int, int] = {}
        askers = [threading.Thread(target=ask, args=(url, secret, seed, end, seen)) for seed in range(3)]
        for asker in askers:
            asker.start()
        memory_mb = []
        for number in itertools.count(2):
            time.sleep(2)
            memory_mb.append(resident_mb(process.pid))
            if time.monotonic() > end:
                break
            shop.release(onnx_model(bias=number / 100), version=number, site=SITES[number % 8], guard=GUARD)
            add_key(tmp_path / "keys" / "gateway.json", f"other-{number % 5}")
            for segment in sorted((tmp_path / "predictions").glob("*.log")):
                segment.unlink()  # as whoever takes them into the lake does
        for asker in askers:
            asker.join()
        process.terminate()
    sys.stdout.write(f"{seen} answers by status, {memory_mb[0]:.0f} to {memory_mb[-1]:.0f} MB\n")
    assert set(seen) == {200, 400, 401, 404}
    fifth = len(memory_mb) // 5
    assert max(memory_mb[-fifth:]) < 1.1 * max(memory_mb[fifth : 2 * fifth])


def ask(url: str, secret: str, seed: int, end: float, seen: dict[int, int]) -> None:
    """Ask for all kinds of things until the end, and count the answers by status."""
    generator = random.Random(seed)  # noqa: S311  what is asked when
    headers = {"x-api-key": secret}
    with httpx.Client(base_url=url, timeout=120) as client:
        while time.monotonic() < end:
            rows = [[generator.uniform(-0.5, 1), 1.0, None]] * generator.choice((1, 1, 1, 32, 1000))
            path = f"/v2/models/toy.{generator.choice(SITES)}/infer"
            asked = generator.choice(
                (
                    lambda path=path, rows=rows: client.post(path, json=question(rows), headers=headers),
                    lambda path=path, rows=rows: client.post(path, json=question(rows), headers=headers),
                    lambda path=path: client.post(path, content=b"{", headers=headers),
                    lambda path=path: client.post(path, json=question([[1, 2, 3]])),
                    lambda: client.get("/v2/models/toy.ZZ", headers=headers),
                    lambda: client.get("/metrics", headers=headers),
                    lambda: client.get("/", headers=headers),
                )
            )
            status = asked().status_code
            seen[status] = seen.get(status, 0) + 1


def resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024
