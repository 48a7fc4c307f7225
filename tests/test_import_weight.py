"""Invariant 9: loading definitions imports nothing heavy."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"torch", "mlflow", "great_expectations", "sklearn", "scipy", "onnx", "onnxruntime", "cudf_polars", "apprise"}


def test_loading_definitions_imports_no_torch_mlflow_great_expectations_or_sklearn():
    code = "import definitions, sys; definitions.defs(); print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "dagster" in loaded
    assert not loaded & HEAVY
