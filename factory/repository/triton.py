"""What NVIDIA Triton has to be told to serve a release: `config.pbtxt`."""

import json

INPUT, OUTPUT = "features", "probability"
MODEL_FILE = "model.onnx"
MAX_BATCH = 4096

_CONFIG = """\
name: {name}
platform: "onnxruntime_onnx"
backend: "onnxruntime"
max_batch_size: {max_batch}
input [ {{ name: "{input}", data_type: TYPE_FP32, dims: [ {features} ] }} ]
output [ {{ name: "{output}", data_type: TYPE_FP32, dims: [ 1 ] }} ]
version_policy {{ specific {{ versions: [ {version} ] }} }}
"""


def triton_config(model: str, version: int, features: int) -> str:
    """Return the text of `config.pbtxt` for one version of one model; the batch dimension is Triton's to add."""
    return _CONFIG.format(
        name=json.dumps(model), max_batch=MAX_BATCH, input=INPUT, output=OUTPUT, features=features, version=version
    )
