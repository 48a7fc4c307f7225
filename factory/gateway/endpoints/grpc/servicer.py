"""The methods of `inference.GRPCInferenceService`, on the gateway's event loop beside HTTP."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from factory.errors import CannotListen
from factory.gateway.access.keys import EVERYBODY, Access, Grant
from factory.gateway.endpoints.extensions import EXTENSIONS
from factory.gateway.endpoints.grpc.inference import asked, plain, response
from factory.gateway.endpoints.grpc.messages import CLASSES, SERVICE
from factory.gateway.endpoints.parameters import require_load_parameters
from factory.gateway.endpoints.service import NAME, Service, own_version
from factory.gateway.metrics.telemetry import Telemetry
from factory.gateway.models.entry import Entry
from factory.gateway.models.question import Answered, Question
from factory.gateway.refusal import RequestRefused, shown

log = logging.getLogger(__name__)

_STATUS = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
Method = Callable[[Any, Grant], Awaitable[Any]]


class GrpcDoor:
    """Answers gRPC calls from the service to who has a key."""

    def __init__(self, service: Service, access: Access, telemetry: Telemetry) -> None:
        self._service = service
        self._access = access
        self._telemetry = telemetry

    def handler(self) -> grpc.GenericRpcHandler:
        """Return what a gRPC server is given."""
        methods: dict[str, Method] = {
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ServerMetadata": self._server,
            "ModelReady": self._model_ready,
            "ModelMetadata": self._metadata,
            "ModelInfer": self._infer,
            "RepositoryIndex": self._index,
            "RepositoryModelLoad": self._load,
            "RepositoryModelUnload": self._unload,
        }
        handlers = {name: self._handler(name, method) for name, method in methods.items()}
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    def _handler(self, name: str, method: Method) -> grpc.RpcMethodHandler:
        """Return a method with its messages, its key check, and its errors as gRPC's statuses."""
        asks, answers = CLASSES[f"{name}Request"], CLASSES[f"{name}Response"]
        public = name in ("ServerLive", "ServerReady")

        async def call(content: bytes, context: grpc.aio.ServicerContext) -> Any:
            try:
                grant = EVERYBODY if public else self._access.grant(_headers(context))
                answer = await method(_decoded(asks, content), grant)
                return answers(**answer) if isinstance(answer, dict) else answer
            except RequestRefused as refused:
                self._telemetry.errors[refused.status] += 1
                status = _STATUS.get(refused.status, grpc.StatusCode.INTERNAL)
                await context.abort(status, str(refused))
            except Exception as error:  # the boundary of a call: the client learns nothing of our insides
                if isinstance(error, grpc.aio.AbortError):
                    raise
                log.exception("%s failed", name)
                self._telemetry.errors[500] += 1
                await context.abort(grpc.StatusCode.INTERNAL, "the gateway failed on this call; its log says why")

        return grpc.unary_unary_rpc_method_handler(call, response_serializer=answers.SerializeToString)

    async def _live(self, _: Any, __: Grant) -> dict[str, Any]:
        return {"live": True}

    async def _ready(self, _: Any, __: Grant) -> dict[str, Any]:
        return {"ready": self._service.ready}

    async def _server(self, _: Any, __: Grant) -> dict[str, Any]:
        return {"name": NAME, "version": own_version(), "extensions": EXTENSIONS}

    async def _model_ready(self, message: Any, grant: Grant) -> dict[str, Any]:
        try:
            self._entry(message.name, message.version, grant)
        except RequestRefused as refused:
            if refused.status not in (404, 503):
                raise
            return {"ready": False}
        return {"ready": True}

    async def _metadata(self, message: Any, grant: Grant) -> dict[str, Any]:
        metadata = self._entry(message.name, message.version, grant).model.metadata()
        return {name: metadata[name] for name in ("name", "versions", "platform", "inputs", "outputs")}

    async def _index(self, message: Any, grant: Grant) -> dict[str, Any]:
        _require_only_repository(message)
        return {"models": self._service.index(grant.opens, only_ready=message.ready)}

    async def _load(self, message: Any, grant: Grant) -> dict[str, Any]:
        grant.require_management(message.model_name)
        _require_only_repository(message)
        require_load_parameters(plain(message.parameters), unloading=False)
        await self._service.load(message.model_name)
        return {}

    async def _unload(self, message: Any, grant: Grant) -> dict[str, Any]:
        grant.require_management(message.model_name)
        _require_only_repository(message)
        require_load_parameters(plain(message.parameters), unloading=True)
        await self._service.unload(message.model_name)
        return {}

    async def _infer(self, message: Any, grant: Grant) -> Any:
        entry = self._entry(message.model_name, message.model_version, grant)
        try:
            grant.require_left()
            wanted = asked(message, entry.model.signature)
            grant.spend(wanted.rows)
            question = Question(wanted.values, wanted.rows, lambda _: None, grant.name, message.id)
            question.answer_within(wanted.timeout_s)
            answered = await _answered(entry.asker(message.model_version or None), question)
        except Exception as error:
            entry.series.failed()
            grant.charge(error)
            raise
        return response(wanted, answered)

    def _entry(self, name: str, version: str, grant: Grant) -> Entry:
        entry = self._service.entry(name, version or None)
        grant.require(name)
        return entry


def _decoded(asks: Any, content: bytes) -> Any:
    """Return the message; raises RequestRefused (400) where the bytes are none."""
    try:
        return asks.FromString(content)
    except DecodeError as error:
        raise RequestRefused(400, f"the message is no {asks.DESCRIPTOR.name}") from error


async def _answered(ask: Callable[[Question], None], question: Question) -> Answered:
    """Return the answer to a question; raises what it was refused with."""
    waiting: asyncio.Future[Answered | RequestRefused] = asyncio.get_running_loop().create_future()
    question.done = lambda result: None if waiting.done() else waiting.set_result(result)
    ask(question)
    result = await waiting
    if isinstance(result, RequestRefused):
        raise result
    return result


def _require_only_repository(message: Any) -> None:
    """Raise RequestRefused (400) where another repository than the one there is is named."""
    if message.repository_name:
        raise RequestRefused(400, f"repository_name is {shown(message.repository_name)}; there is one, without a name")


def _headers(context: grpc.aio.ServicerContext) -> dict[bytes, bytes]:
    """Return the call's metadata as HTTP would have it."""
    return {
        key.encode(): value if isinstance(value, bytes) else value.encode()
        for key, value in context.invocation_metadata() or ()
    }


@asynccontextmanager
async def listening(
    door: GrpcDoor, address: str, tls: tuple[bytes, bytes] | None, *, max_bytes: int, drain_s: float, shared: bool
) -> AsyncIterator[int]:
    """Listen on an address while the body runs, and yield the port; calls under way are answered before it ends.

    `address` is `host:port`, an IPv6 host in brackets; `tls` is the private key and the certificate; `shared` lets
    other workers listen there too. Raises CannotListen where the port is taken.
    """
    options = [("grpc.max_receive_message_length", max_bytes), ("grpc.so_reuseport", int(shared))]
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers((door.handler(),))
    try:
        port = (
            server.add_secure_port(address, grpc.ssl_server_credentials([tls]))
            if tls
            else server.add_insecure_port(address)
        )
    except RuntimeError as error:
        raise CannotListen(f"gRPC cannot listen on {address}: {error}; choose another --grpc-port") from error
    await server.start()
    try:
        yield int(port)
    finally:
        await server.stop(drain_s)
