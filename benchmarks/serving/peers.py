"""The servers that the gateway is measured against, each the shortest that its own documentation shows.

    python benchmarks/serving/peers.py <peer> <port> <model.onnx>

`echo` sends back what it gets: no server of this kind can be faster. The others answer the same model.
"""

import os
import sys
from pathlib import Path
from typing import Any

INPUT, OUTPUT = "features", "probability"


def session(model: str) -> Any:
    """One session on one thread, as the gateway has it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run_asgi(app: Any, port: int) -> None:
    """Run on uvicorn as fast as it goes."""
    import uvicorn

    uvicorn.run(app, port=port, loop="uvloop", http="httptools", access_log=False, log_level="error", lifespan="off")


async def respond(send: Any, body: bytes) -> None:
    """Send one JSON body."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def whole(receive: Any) -> bytes:
    """Return the request's body."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


def echo(port: int, _: str) -> None:
    """Bare uvicorn."""

    async def app(_: Any, receive: Any, send: Any) -> None:
        await respond(send, await whole(receive))

    run_asgi(app, port)


def raw_asgi(port: int, model: str) -> None:
    """uvicorn, msgspec and ONNX Runtime; no check, no key, no metric, no record."""
    import msgspec
    import numpy as np

    run, decode = session(model).run, msgspec.json.Decoder().decode

    async def app(_: Any, receive: Any, send: Any) -> None:
        tensor = decode(await whole(receive))["inputs"][0]
        rows = np.array(tensor["data"], np.float32).reshape(tensor["shape"])
        (answers,) = run([OUTPUT], {INPUT: rows})
        await respond(send, msgspec.json.encode({"outputs": [{"name": OUTPUT, "data": answers.ravel().tolist()}]}))

    run_asgi(app, port)


def fastapi(port: int, model: str) -> None:
    """FastAPI with pydantic models."""
    import numpy as np
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Tensor(BaseModel):
        """One tensor."""

        name: str
        shape: list[int]
        datatype: str
        data: list[float] | list[list[float]]

    class Request(BaseModel):
        """The protocol's request."""

        inputs: list[Tensor]

    class Response(BaseModel):
        """The protocol's answer."""

        outputs: list[Tensor]

    run, app = session(model).run, FastAPI()

    def infer(request: Request) -> Response:
        tensor = request.inputs[0]
        (answers,) = run([OUTPUT], {INPUT: np.array(tensor.data, np.float32).reshape(tensor.shape)})
        output = Tensor(name=OUTPUT, shape=list(answers.shape), datatype="FP32", data=answers.ravel().tolist())
        return Response(outputs=[output])

    async def answer(request: Request) -> Response:
        return infer(request)

    app.post("/v2/models/{model}/infer")(answer)
    run_asgi(app, port)


def kserve(port: int, model: str) -> None:
    """KServe's Python server; it has an environment of its own."""
    from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer

    class Served(Model):
        """The model."""

        def __init__(self) -> None:
            super().__init__("toy.UA")
            self.session = session(model)
            self.ready = True

        def predict(self, request: InferRequest, *_: Any, **__: Any) -> InferResponse:
            """Answer one request."""
            rows = request.inputs[0].as_numpy()
            (answers,) = self.session.run([OUTPUT], {INPUT: rows})
            output = InferOutput(name=OUTPUT, shape=list(answers.shape), datatype="FP32", data=answers.ravel().tolist())
            return InferResponse(response_id=request.id or "1", model_name=self.name, infer_outputs=[output])

    ModelServer(http_port=port, enable_grpc=False, workers=1, access_log_format=None).start([Served()])


def litserve(port: int, model: str) -> None:
    """LitServe, without batching; its workers import the service by name. It has an environment of its own."""
    from lit import run

    run(port, model)


def bentoml(port: int, model: str) -> None:
    """BentoML; its workers import the service by name. It has an environment of its own."""
    command, here = str(Path(sys.executable).with_name("bentoml")), str(Path(__file__).parent)
    words = [command, "serve", "bento:Served", "--working-dir", here, "--host", "127.0.0.1", "--port", str(port)]
    os.execve(command, words, {**os.environ, "MODEL": model, "BENTOML_DO_NOT_TRACK": "True"})  # noqa: S606


def ray(port: int, model: str) -> None:
    """Ray Serve; it has an environment of its own."""
    import numpy as np
    import ray as cluster
    from ray import serve

    @serve.deployment
    class Served:
        """The model."""

        def __init__(self) -> None:
            self.session = session(model)

        async def __call__(self, request: Any) -> Any:
            """Answer one request."""
            tensor = (await request.json())["inputs"][0]
            rows = np.array(tensor["data"], np.float32).reshape(tensor["shape"])
            (answers,) = self.session.run([OUTPUT], {INPUT: rows})
            return {"outputs": [{"name": OUTPUT, "data": answers.ravel().tolist()}]}

    cluster.init(include_dashboard=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(Served.bind(), blocking=True)


PEERS = {peer.__name__: peer for peer in (echo, raw_asgi, fastapi, kserve, litserve, bentoml, ray)}


if __name__ == "__main__":
    PEERS[sys.argv[1]](int(sys.argv[2]), str(Path(sys.argv[3])))
