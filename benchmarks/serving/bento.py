"""BentoML's service, which its workers import by name; `peers.py bentoml` starts them."""

import os
from typing import Any

import bentoml
import numpy as np
from peers import INPUT, OUTPUT, session


@bentoml.service(logging={"access": {"enabled": False}})
class Served:
    """The model."""

    def __init__(self) -> None:
        self.session = session(os.environ["MODEL"])

    @bentoml.api(route="/v2/models/toy.UA/infer")
    def infer(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """Answer one request."""
        rows = np.array(inputs[0]["data"], np.float32).reshape(inputs[0]["shape"])
        (answers,) = self.session.run([OUTPUT], {INPUT: rows})
        return {"outputs": [{"name": OUTPUT, "data": answers.ravel().tolist()}]}
