"""Small real models, releases and servers."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
from onnx import TensorProto, helper

from factory.gateway.models.feature_builders import SnapshotSource
from factory.gateway.processes.server import Server
from factory.gateway.settings import Settings
from factory.model.signature import Signature
from factory.model.verdict import Verdict, digest_of
from factory.release import Manifest, ModelRepository
from factory.release.signing import signing_key

WEIGHTS = (0.5, -0.25, 0.125)


def onnx_model(weights: Sequence[float] = WEIGHTS, bias: float = 0.0, *, batch: int | str = "batch") -> bytes:
    """A logistic regression that takes NaN for 0."""
    column = np.array(weights, np.float32).reshape(-1, 1)
    constants = {"w": column, "b": np.array([bias], np.float32), "zero": np.array(0, np.float32)}
    nodes = [
        helper.make_node("IsNaN", ["features"], ["unknown"]),
        helper.make_node("Where", ["unknown", "zero", "features"], ["filled"]),
        helper.make_node("MatMul", ["filled", "w"], ["product"]),
        helper.make_node("Add", ["product", "b"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
    ]
    return _onnx(nodes, constants, [batch, len(weights)], "probability", 1)


def _onnx(nodes: Any, constants: dict[str, Any], takes: list[Any], output: str, answers: int) -> bytes:
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, takes)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [takes[0], answers])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def expected(rows: Any, weights: Sequence[float] = WEIGHTS, bias: float = 0.0) -> np.ndarray:
    """What `onnx_model` must answer, in double precision."""
    filled = np.nan_to_num(np.array(rows, np.float64))
    return 1 / (1 + np.exp(-(filled @ np.array(weights) + bias)))


def binary(columns: int = len(WEIGHTS)) -> Signature:
    """The signature of a probability of so many features."""
    features = tuple(f"f{i}" for i in range(columns))
    return Signature(task="binary", features=features, output="probability", answers=("probability",))


def sums_model(steps: int, features: int, answers: int, output: str) -> bytes:
    """A sequence model whose answer k is k + 1 times the sum of all values of the row, NaN taken for 0."""
    factors = np.arange(1, answers + 1, dtype=np.float32).reshape(1, answers)
    constants = {"factors": factors, "zero": np.array(0, np.float32), "flat": np.array([0, -1]), "axis": np.array([1])}
    nodes = [
        helper.make_node("IsNaN", ["features"], ["unknown"]),
        helper.make_node("Where", ["unknown", "zero", "features"], ["filled"]),
        helper.make_node("Reshape", ["filled", "flat"], ["row"]),
        helper.make_node("ReduceSum", ["row", "axis"], ["sum"], keepdims=1),
        helper.make_node("Mul", ["sum", "factors"], [output]),
    ]
    return _onnx(nodes, constants, ["batch", steps, features], output, answers)


def verdict(content: bytes, site: str = "UA", *reasons: str, line: str = "toy") -> Verdict:
    """A verdict on the file: it passed unless there are reasons."""
    return Verdict(
        line=line,
        site=site,
        digest=digest_of(content),
        passed=not reasons,
        reasons=reasons,
        figures={"rows": 3, "value_eur": 2.0, "note": None, "fine_tuned": True},
    )


class Shop:
    """A home with a model repository and a key."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.repository = ModelRepository(home / "models")
        self.key = signing_key(home / "keys")
        self.public = home / "keys" / "release.pub"

    def release(self, content: bytes, version: int = 1, site: str = "UA", **changed: Any) -> Manifest:
        """Release the file with a passing verdict, or with what is given."""
        signature = changed.pop("signature", None) or binary(changed.pop("columns", len(WEIGHTS)))
        parts = {
            "line": "toy",
            "site": site,
            "version": version,
            "verdict": verdict(content, site),
            "signature": signature,
            "threshold": 0.25,
            "provenance": {"clean": "7", "commit": "abc"},
            "example": (1.0, float("nan"), *[2.0] * (signature.input_size - 2)),
            "key": self.key,
        }
        return self.repository.release(content, **{**parts, **changed})

    def file(self, site: str = "UA") -> Path:
        """The served model's file."""
        manifest = self.repository.current(f"toy.{site}")
        assert manifest
        return self.home / "models" / f"toy.{site}" / str(manifest.version) / "model.onnx"

    def tamper(self, content: bytes, site: str = "UA") -> None:
        """Put another file in the served one's place."""
        self.file(site).unlink()
        self.file(site).write_bytes(content)


@contextmanager
def running(shop: Shop, snapshots: SnapshotSource | None = None, **settings: Any) -> Iterator[Server]:
    """Run a real server on a free port of the loopback."""
    chosen = Settings(**{"port": 0, "refresh_every_s": 0.05, **settings})
    server = Server(shop.home / "models", shop.public, chosen, snapshots)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert server.started.wait(20)
        yield server
    finally:
        server.stop()
        thread.join(15)
        assert not thread.is_alive()


@contextmanager
def gateway(shop: Shop, **settings: Any) -> Iterator[httpx.Client]:
    """Run a real server, and give a client for it."""
    with (
        running(shop, **settings) as server,
        httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=60) as client,
    ):
        yield client


def eventually(condition: Callable[[], bool], within_s: float = 120.0) -> None:
    """Wait until the condition holds, or fail: in much longer than it takes, for a machine may be busy."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def question(rows: Any, **changed: Any) -> dict[str, Any]:
    """An inference request about nested rows."""
    tensor = {"name": "features", "datatype": "FP32", "shape": [len(rows), len(rows[0])], "data": rows}
    return {"inputs": [{**tensor, **changed}]}
