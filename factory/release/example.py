"""A first request for the gateway, from the row that a release carries as its example."""

import json
from pathlib import Path

from factory.model.signature import INPUT
from factory.release import Manifest, ModelRepository
from factory.storage.home import Home


def example_request(manifest: Manifest) -> dict[str, object]:
    """Return an Open Inference Protocol v2 request of one row; null is unknown."""
    shape = [1, *manifest.model_signature.input_shape]
    return {"inputs": [{"name": INPUT, "shape": shape, "datatype": "FP32", "data": list(manifest.example)}]}


def write_example(home: Home, model: str) -> Path | None:
    """Write the home's example for a released model and return its place; None where nothing is released."""
    manifest = ModelRepository.at(home).current(model)
    if manifest is None:
        return None
    place = home.example
    place.write_text(json.dumps(example_request(manifest)), encoding="utf-8")
    return place
