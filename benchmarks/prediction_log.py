"""How long after a site's release its clients get the new model's answers, with the gateway's own settings.

    python benchmarks/prediction_log.py [--rounds 20] [--sites 16]

A client asks without pause; the clock runs from the moment that the releasing function is called until the first
answer that names the new version. The bound is how often the gateway looks, beside what a release takes.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from factory.gateway.processes.server import Settings  # noqa: E402  found through the line above
from tests.gateway.builders import Shop, gateway, onnx_model, question  # noqa: E402

REFRESH_S = Settings().refresh_every_s


def main() -> None:
    """Release again and again, and print how long each took to be seen."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--sites", type=int, default=16)
    asked = parser.parse_args()
    released, seen = [], []
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(Path(folder))
        for number in range(asked.sites):
            shop.release(onnx_model(), site=f"S{number}")
        with gateway(shop, refresh_every_s=REFRESH_S) as client:
            row, version = question([[1.0, 2.0, 3.0]]), 1
            for _ in range(asked.rounds):
                version += 1
                began = time.perf_counter()
                shop.release(onnx_model(bias=float(version)), version, site="S0")
                released.append(time.perf_counter() - began)
                while client.post("/v2/models/toy.S0/infer", json=row).json()["model_version"] != str(version):
                    pass
                seen.append(time.perf_counter() - began)
    print(
        f"{asked.sites} sites, {asked.rounds} releases: served after {statistics.median(seen):.2f} s (median), "
        f"{max(seen):.2f} s (greatest); the gateway looks every {REFRESH_S:g} s, releasing itself takes "
        f"{statistics.median(released):.3f} s"
    )


if __name__ == "__main__":
    main()
