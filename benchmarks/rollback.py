"""How fast a site is back at its previous release: `factory rollback` as a person types it, and the function within.

    python benchmarks/rollback.py [--rounds 10] [--records 500]

A home with one site, a 0.3 MB model, and a history of that many records, every one of which is verified.
Aim: under two seconds. No registry is there at all.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from factory.model.signature import INPUT, Signature  # noqa: E402
from factory.model.verdict import Verdict, digest_of  # noqa: E402
from factory.release import ModelRepository  # noqa: E402
from factory.release.history import Event  # noqa: E402  found through the line above
from factory.release.rollback import roll_back  # noqa: E402
from factory.release.signing import signing_key  # noqa: E402
from factory.storage.home import Home  # noqa: E402

WIDTH = 270
SIGNATURE = Signature(
    task="binary",
    features=tuple(f"f{number}" for number in range(WIDTH)),
    output="probability",
    answers=("probability",),
)


def model(seed: int) -> bytes:
    """Return a network of one hidden layer, 0.3 MB."""
    weights = np.random.default_rng(seed).normal(size=(WIDTH, WIDTH)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", [INPUT, "w"], ["hidden"]),
        helper.make_node("ReduceMean", ["hidden"], ["logit"], axes=[1], keepdims=1),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])
        for name, width in ((INPUT, WIDTH), ("probability", 1))
    ]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], [onnx.numpy_helper.from_array(weights, "w")])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def prepared(home: Path, records: int) -> ModelRepository:
    """Return a repository with two releases of one site, and a long history."""
    repository, key = ModelRepository.at(Home.at(home)), signing_key(Home.at(home).keys)
    for version in (1, 2):
        content = model(version)
        verdict = Verdict(line="toy", site="UA", digest=digest_of(content), passed=True, reasons=(), figures={})
        repository.release(
            content,
            line="toy",
            site="UA",
            version=version,
            verdict=verdict,
            signature=SIGNATURE,
            threshold=0.5,
            provenance={},
            example=[1.0] * WIDTH,
            key=key,
        )
    for number in range(records):
        event = Event(kind="promotion", actor="line toy", reason="its verdict passed", version=number + 1)
        repository.site_history.append("toy.UA", event, key)
    return repository


def typed(home: Path, to: int) -> float:
    """Return how long the command takes, from typing to prompt."""
    words = ["rollback", "UA", "--to", str(to), "--by", "bench", "--reason", "to measure", "--home", str(home)]
    started = time.perf_counter()
    command = [sys.executable, "-c", "from factory.cli import main; main()", *words]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - started


def within(repository: ModelRepository, home: Path, to: int) -> float:
    """Return how long the function takes in a process that is up."""
    started = time.perf_counter()
    roll_back(repository, "toy.UA", to=to, by="bench", reason="to measure", key=signing_key(Home.at(home).keys))
    return time.perf_counter() - started


def main() -> None:
    """Measure both, back and forth."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--records", type=int, default=500)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        repository = prepared(home, asked.records)
        targets = [number % 2 + 1 for number in range(asked.rounds)]
        command = [typed(home, to) for to in targets]
        function = [within(repository, home, to) for to in targets]
    for name, seconds in {"factory rollback": command, "roll_back()": function}.items():
        print(f"{name:<17} median {statistics.median(seconds):.3f} s, slowest {max(seconds):.3f} s (aim < 2 s)")


if __name__ == "__main__":
    main()
