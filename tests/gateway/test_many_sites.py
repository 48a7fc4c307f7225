"""A thousand site models in one gateway."""

import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from benchmarks.serving.models import FEATURES, network
from tests.gateway.builders import Shop, eventually, question

ROOT = Path(__file__).resolve().parents[2]
SITES = 1000
START = (
    "import sys, threading; from pathlib import Path; from factory.gateway.processes.server import Server, Settings; "
    "s = Server(Path(sys.argv[1]), Path(sys.argv[2]), Settings(port=0)); "
    "tell = lambda: (s.started.wait(), print(s.port, flush=True)); threading.Thread(target=tell).start(); s.run()"
)


@pytest.mark.slow
def test_a_thousand_site_models_answer_in_less_than_a_gigabyte(tmp_path):
    shop = Shop(tmp_path)
    content = network(hidden=256)
    for number in range(SITES):
        shop.release(content, site=f"S{number}", columns=FEATURES, example=(0.0,) * FEATURES)
    words = [sys.executable, "-c", START, str(shop.home / "models"), str(shop.public)]
    start = time.monotonic()
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        port = int(process.stdout.readline())
        up_s = time.monotonic() - start
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            row = question([[1.0] * FEATURES])
            for number in range(SITES):
                answer = client.post(f"/v2/models/toy.S{number}/infer", json=row)
                assert answer.status_code == 200
            eventually(lambda: memory_mb(process.pid) < 1000)
            asked_mb = memory_mb(process.pid)
        process.terminate()
    sys.stdout.write(f"{SITES} models: up in {up_s:.1f} s, {asked_mb:.0f} MB after all were asked\n")


def memory_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024
