"""Triton's backend `onnxruntime`, on its Python backend: for a Triton that carries no other, as PyPI's does.

The folder's name is the backend's: Triton serves with it what `config.pbtxt` of our releases asks for, unchanged. One
session on one thread, as the gateway has it. It takes nothing but the model file, and runs inside Triton.
"""

import json
from pathlib import Path
from typing import Any

import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    """One instance of one version of a model with one input and one output; Triton asks for this name."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model file that the release holds."""
        config = json.loads(args["model_config"])
        self.takes, self.gives = config["input"][0]["name"], config["output"][0]["name"]
        file = Path(args["model_repository"], args["model_version"], config["default_model_filename"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request by itself."""
        return [self.answer(triton.get_input_tensor_by_name(request, self.takes)) for request in requests]

    def answer(self, tensor: Any) -> Any:
        """Return the response to one input."""
        (answers,) = self.session.run([self.gives], {self.takes: tensor.as_numpy()})
        return triton.InferenceResponse([triton.Tensor(self.gives, answers)])
