"""A registered model as MLflow's `pyfunc`: a frame with the features' columns in, one with the answers' columns out.

This file is copied beside each registered model, so it imports nothing of this library: whoever has MLflow, ONNX
Runtime and pandas can load the model (`mlflow.pyfunc.load_model`, `mlflow models serve`). Columns may come in any
order; MLflow refuses a frame that lacks one, by the model's signature. A sequence model takes its tensor,
`[rows, steps, features]`.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd


class FrameModel:
    """One ONNX file, asked by frames."""

    def __init__(self, file: Path, *, features: list[str], output: str, answers: list[str]) -> None:
        self.session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        self.features = features
        self.output = output
        self.answers = answers

    def predict(self, data: Any, params: Any = None) -> pd.DataFrame:  # noqa: ARG002  as MLflow asks
        """Return the answers to each row of a frame, or of a tensor by the input's name, under the frame's index."""
        index = data.index if isinstance(data, pd.DataFrame) else None
        tensor = self._numbers(data) if isinstance(data, pd.DataFrame) else _tensor(data)
        (answers,) = self.session.run([self.output], {self.session.get_inputs()[0].name: tensor})
        return pd.DataFrame(answers, columns=self.answers, index=index)

    def _numbers(self, rows: pd.DataFrame) -> Any:
        """Return the features' columns as one tensor, NaN where unknown; raises ValueError on what is no number."""
        try:
            return rows[self.features].to_numpy(np.float32, na_value=np.nan)
        except (TypeError, ValueError) as error:
            texts = [name for name in self.features if not pd.api.types.is_numeric_dtype(rows[name])]
            raise ValueError(f"columns {', '.join(texts)} hold something that is no number: {error}") from error


def _tensor(data: Any) -> Any:
    return np.asarray(next(iter(data.values())) if isinstance(data, dict) else data, np.float32)


def _load_pyfunc(path: str) -> FrameModel:
    """Return the model whose ONNX file lies at the path, beside MLflow's description of it; MLflow calls this."""
    from mlflow.models import Model

    file = Path(path)
    said = Model.load(str(file.parent)).metadata
    return FrameModel(file, features=list(said["features"]), output=said["output"], answers=list(said["answers"]))
