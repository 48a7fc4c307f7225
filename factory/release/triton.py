"""What NVIDIA Triton has to be told to serve a release: `config.pbtxt`."""

import json
from collections.abc import Sequence

from factory.model.signature import INPUT, Signature

MODEL_FILE = "model.onnx"
MAX_BATCH = 4096

_CONFIG = """\
name: {name}
platform: "onnxruntime_onnx"
backend: "onnxruntime"
max_batch_size: {max_batch}
input [ {{ name: {input}, data_type: TYPE_FP32, dims: {takes} }} ]
output [ {{ name: {output}, data_type: TYPE_FP32, dims: {gives} }} ]
version_policy {{ specific {{ versions: [ {version} ] }} }}
"""


def triton_config(model: str, version: int, signature: Signature) -> str:
    """Return the text of `config.pbtxt` for one version of one model; the batch dimension is Triton's to add."""
    return _CONFIG.format(
        name=json.dumps(model),
        max_batch=MAX_BATCH,
        input=json.dumps(INPUT),
        takes=_dims(signature.input_shape),
        output=json.dumps(signature.output),
        gives=_dims([len(signature.answers)]),
        version=version,
    )


def _dims(shape: Sequence[int]) -> str:
    return f"[ {', '.join(map(str, shape))} ]"
