"""KServe's own client, unchanged, against a running gateway.

KServe wants numpy < 2, so this runs in an environment of its own, and not with the tests:

    python -m venv /tmp/kserve && /tmp/kserve/bin/pip install kserve "numpy<2"
    factory serve --grpc-port 8081 &
    /tmp/kserve/bin/python benchmarks/serving/kserve_client.py http://127.0.0.1:8080 127.0.0.1:8081 departure_delay.UA
"""

import asyncio
import sys

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig


async def main(rest_url: str, grpc_url: str, model: str) -> None:
    """Ask over both doors, and compare the answers."""
    rest = InferenceRESTClient(RESTConfig(protocol="v2"))
    grpc = InferenceGRPCClient(url=grpc_url)
    assert await rest.is_server_live(rest_url)
    assert await rest.is_server_ready(rest_url)
    assert await rest.is_model_ready(rest_url, model)
    assert await grpc.is_server_live()
    assert await grpc.is_server_ready()
    assert await grpc.is_model_ready(model)
    width = int(sys.argv[4]) if len(sys.argv) > 4 else 44
    rows = np.random.default_rng(7).normal(size=(5, width)).astype(np.float32)
    found = []
    for binary in (False, True):
        tensor = InferInput("features", list(rows.shape), "FP32")
        tensor.set_data_from_numpy(rows, binary_data=binary)
        request = InferRequest(model_name=model, infer_inputs=[tensor], request_id="a-1")
        answers = [await rest.infer(rest_url, request, model_name=model), await grpc.infer(request)]
        assert [answer.id for answer in answers] == ["a-1", "a-1"]
        found += [np.asarray(answer.outputs[0].as_numpy(), np.float32).ravel() for answer in answers]
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])
    print(f"REST and gRPC, as numbers and as bytes, all answered {found[0].tolist()}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
