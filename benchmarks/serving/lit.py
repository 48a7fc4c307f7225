"""LitServe's service, which its workers import by name; `peers.py litserve` starts them."""

from typing import Any

import litserve
import numpy as np
from peers import INPUT, OUTPUT, session


class Served(litserve.LitAPI):
    """The model."""

    def __init__(self, model: str) -> None:
        super().__init__(api_path="/v2/models/toy.UA/infer")
        self.model = model

    def setup(self, _: Any) -> None:
        """Load it."""
        self.session = session(self.model)

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # an annotation is taken for FastAPI's
        """Return the rows."""
        tensor = request["inputs"][0]
        return np.array(tensor["data"], np.float32).reshape(tensor["shape"])

    def predict(self, rows: Any) -> Any:
        """Answer."""
        return self.session.run([OUTPUT], {INPUT: rows})[0]

    def encode_response(self, answers):  # type: ignore[no-untyped-def]
        """Return what becomes JSON."""
        return {"outputs": [{"name": OUTPUT, "data": answers.ravel().tolist()}]}


def run(port: int, model: str) -> None:
    """Serve."""
    litserve.LitServer(Served(model), accelerator="cpu").run(port=port, generate_client_file=False, log_level="error")
