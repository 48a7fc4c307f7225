"""What KServe's own client does as it comes, over REST and gRPC, with JSON and binary tensors.

Run as: python ask_kserve.py <address> <host:port of gRPC>; prints a JSON object for each answer. It has an environment
of its own, for it brings Kubernetes' client along.
"""

import asyncio
import json
import sys

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig
from kserve.protocol.infer_type import RequestedOutput

MODEL = "toy.UA"
ROWS = np.array([[1.0, 0.0, 2.0], [0.5, 0.25, 0.0]], np.float32)


def request(*, binary: bool) -> InferRequest:
    """Ask about two rows."""
    tensor = InferInput("features", list(ROWS.shape), "FP32")
    tensor.set_data_from_numpy(ROWS, binary_data=binary)
    outputs = [RequestedOutput("probability", parameters={"binary_data": True})] if binary else None
    return InferRequest(model_name=MODEL, infer_inputs=[tensor], request_id="4f2b", request_outputs=outputs)


def show(what: str, answer: object) -> None:
    """Print an answer."""
    if hasattr(answer, "outputs"):
        answer = {"id": answer.id, "probability": answer.outputs[0].as_numpy().ravel().tolist()}
    sys.stdout.write(json.dumps({what: answer}) + "\n")


async def over_rest(address: str) -> None:
    """Ask over HTTP."""
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    show("rest live", await client.is_server_live(address))
    show("rest ready", await client.is_server_ready(address))
    show("rest model ready", await client.is_model_ready(address, MODEL))
    show("rest json", await client.infer(address, request(binary=False), model_name=MODEL))
    show("rest binary", await client.infer(address, request(binary=True), model_name=MODEL))
    await client.close()


async def over_grpc(address: str) -> None:
    """Ask over gRPC."""
    async with InferenceGRPCClient(address) as client:
        show("grpc live", await client.is_server_live())
        show("grpc ready", await client.is_server_ready())
        show("grpc model ready", await client.is_model_ready(MODEL))
        for binary in (False, True):
            show(f"grpc {'binary' if binary else 'typed'}", await client.infer(request(binary=binary)))


asyncio.run(over_rest(sys.argv[1]))
asyncio.run(over_grpc(sys.argv[2]))
