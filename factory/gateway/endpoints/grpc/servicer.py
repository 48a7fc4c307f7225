"""What the gateway answers over gRPC, on its event loop beside HTTP: inference, health, server reflection.

A call is refused by its metadata, key and method, before anything of its message is read: gRPC's C core takes a message
into memory whole, and Python has no bound over all messages. Each call is handled as a stream, of which nothing is read
where it is refused; the messages of the others are read within what all calls together may hold (`reading`).

It costs a call a sixth of its processor time. Weighed against it: gRPC in a process of its own under a memory limit,
which dies of an attack; a lower limit of a message, which no number of calls keeps; and HTTP/2 of our own on `h2`,
which would bound each byte as HTTP/1.1 does.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import aio as reflection

from factory.errors import CannotListen
from factory.gateway.access.keys import Access, Grant
from factory.gateway.endpoints.extensions import EXTENSIONS, require_method
from factory.gateway.endpoints.grpc.health import SERVICE_UNKNOWN, Health
from factory.gateway.endpoints.grpc.inference import asked, plain, response
from factory.gateway.endpoints.grpc.messages import (
    CLASSES,
    HEALTH,
    METHODS,
    POOL,
    SERVICE,
    HealthRequest,
    HealthResponse,
)
from factory.gateway.endpoints.grpc.reading import Reads
from factory.gateway.endpoints.parameters import require_load_parameters
from factory.gateway.endpoints.service import NAME, Service, own_version
from factory.gateway.http.trace import Trace, trace_of
from factory.gateway.limits import Limits
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
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_REFLECTIONS = tuple(f"grpc.reflection.{version}.ServerReflection" for version in ("v1", "v1alpha"))
_MOST_WATCHING = 1024
_MOST_REFLECTIONS = 16
_PUBLIC_S = 2.0
"""For the message of a call that needs no key."""
_MOST_PUBLIC_READS = 8
"""So many of such messages may come slowly at once."""

Call = Callable[[Any], Awaitable[Any]]
"""Of a call's context."""
Method = Callable[[Any, Grant, Trace], Awaitable[Any]]


class GrpcDoor(grpc.GenericRpcHandler):  # type: ignore[misc]  # gRPC has no types
    """Answers gRPC calls from the service to who has a key; health needs none."""

    def __init__(self, service: Service, access: Access, telemetry: Telemetry, limits: Limits) -> None:
        self._service = service
        self._access = access
        self._telemetry = telemetry
        self._limits = limits
        self.health = Health(lambda: not service.unready)
        most = max(1, limits.max_unfinished_bytes // limits.max_body_bytes)
        self._reads = Reads(most, limits.request_s)
        self._public_reads = Reads(_MOST_PUBLIC_READS, _PUBLIC_S)
        self._watching = self._reflecting = 0
        self._reflection = reflection.ReflectionServicer((SERVICE, f"{HEALTH}.Health", *_REFLECTIONS), POOL)
        self._public = {"ServerLive": self._live, "ServerReady": self._ready}
        self._methods: dict[str, Method] = {
            "ServerMetadata": self._server,
            "ModelReady": self._model_ready,
            "ModelMetadata": self._metadata,
            "ModelInfer": self._infer,
            "RepositoryIndex": self._index,
            "RepositoryModelLoad": self._load,
            "RepositoryModelUnload": self._unload,
        }
        assert {*self._public, *self._methods} == {*METHODS}  # noqa: S101

    def service(self, details: Any) -> grpc.RpcMethodHandler:
        """Return what answers the call; nothing of its message has been read."""
        service, _, method = details.method.removeprefix("/").partition("/")
        try:
            return self._handler(service, method, details)
        except RequestRefused as refused:
            return self._unread(method, self._refusing(refused))

    def _handler(self, service: str, method: str, details: Any) -> grpc.RpcMethodHandler:
        """Return what answers the call; raises RequestRefused where its metadata say that it will be refused."""
        if service == f"{HEALTH}.Health" and method in ("Check", "Watch"):
            return self._unread(method, self._check if method == "Check" else self._watch)
        if service == SERVICE and (public := self._public.get(method)):
            return self._unread(method, public)
        fields = _fields(details)
        grant = self._access.grant(fields)
        if service in _REFLECTIONS and method == "ServerReflectionInfo":
            return self._unread(method, self._reflect)
        if service != SERVICE:
            raise RequestRefused(501, f"no service {shown(service)}; server reflection lists those there are")
        if (answers := self._methods.get(method)) is None:
            require_method(method)
        return self._asking(method, answers, grant, trace_of(fields))  # type: ignore[arg-type]

    def _unread(self, name: str, call: Call) -> grpc.RpcMethodHandler:
        """Return what handles a call without reading its message first."""

        async def stream(_: Any, context: Any) -> None:
            try:
                await call(context)
            except Exception as error:  # noqa: BLE001  the boundary of a call, which `_abort` logs
                await self._abort(name, error, context)

        return grpc.stream_stream_rpc_method_handler(stream)

    def _refusing(self, refused: RequestRefused) -> Call:
        async def call(_: Any) -> None:
            raise refused

        return call

    def _asking(self, name: str, method: Method, grant: Grant, trace: Trace) -> grpc.RpcMethodHandler:
        """Return what handles a call of the inference service."""
        asks, answers = CLASSES[f"{name}Request"], CLASSES[f"{name}Response"]

        async def call(context: Any) -> None:
            client = _address(context) if self._access.is_open else grant.name
            content = await self._reads.message(context, client)
            answer = await method(_decoded(asks, content), grant, trace)
            await _write(context, answers(**answer) if isinstance(answer, dict) else answer)

        return self._unread(name, call)

    async def _abort(self, name: str, error: Exception, context: Any) -> None:
        """End a call with the status of its error; the client learns nothing of our insides."""
        if isinstance(error, grpc.aio.AbortError):
            raise error
        if isinstance(error, RequestRefused):
            self._telemetry.errors[error.status] += 1
            await context.abort(_STATUS.get(error.status, grpc.StatusCode.INTERNAL), str(error))
        log.error("%s failed", shown(name), exc_info=error)
        self._telemetry.errors[500] += 1
        await context.abort(grpc.StatusCode.INTERNAL, "the gateway failed on this call; its log says why")

    # Without a key

    async def _live(self, context: Any) -> None:
        await _write(context, CLASSES["ServerLiveResponse"](live=True))

    async def _ready(self, context: Any) -> None:
        await _write(context, CLASSES["ServerReadyResponse"](ready=not self._service.unready))

    async def _check(self, context: Any) -> None:
        name = _decoded(HealthRequest, await self._public_reads.message(context, _address(context))).service
        if (state := self.health.state(name)) == SERVICE_UNKNOWN:
            raise RequestRefused(404, f"no service {shown(name)}; there is {SERVICE!r}, and '' for the server")
        await _write(context, HealthResponse(status=state))

    async def _watch(self, context: Any) -> None:
        name = _decoded(HealthRequest, await self._public_reads.message(context, _address(context))).service
        if self._watching >= _MOST_WATCHING:
            raise RequestRefused(429, f"{self._watching} clients watch the health, which is the limit; Check it")
        self._watching += 1
        try:
            await self.health.watch(name, lambda state: _write(context, HealthResponse(status=state)))
        finally:
            self._watching -= 1

    # With a key, where keys are in use

    async def _reflect(self, context: Any) -> None:
        if self._reflecting >= _MOST_REFLECTIONS:
            raise RequestRefused(429, f"{self._reflecting} reflections are under way, the limit; come again")
        self._reflecting += 1
        try:
            async with asyncio.timeout(self._limits.request_s):
                async for answer in self._reflection.ServerReflectionInfo(_questions(context), context):
                    await _write(context, answer)
        except TimeoutError:
            raise RequestRefused(408, f"a reflection took more than {self._limits.request_s:g} s") from None
        finally:
            self._reflecting -= 1

    async def _server(self, _: Any, __: Grant, ___: Trace) -> dict[str, Any]:
        return {"name": NAME, "version": own_version(), "extensions": EXTENSIONS}

    async def _model_ready(self, message: Any, grant: Grant, _: Trace) -> dict[str, Any]:
        try:
            self._entry(message.name, message.version, grant)
        except RequestRefused as refused:
            if refused.status not in (404, 503):
                raise
            return {"ready": False}
        return {"ready": True}

    async def _metadata(self, message: Any, grant: Grant, _: Trace) -> dict[str, Any]:
        metadata = self._entry(message.name, message.version, grant).model.metadata()
        return {name: metadata[name] for name in ("name", "versions", "platform", "inputs", "outputs")}

    async def _index(self, message: Any, grant: Grant, _: Trace) -> dict[str, Any]:
        _require_only_repository(message)
        return {"models": self._service.index(grant.opens, only_ready=message.ready)}

    async def _load(self, message: Any, grant: Grant, _: Trace) -> dict[str, Any]:
        grant.require_management(message.model_name)
        _require_only_repository(message)
        require_load_parameters(plain(message.parameters), unloading=False)
        await self._service.load(message.model_name)
        return {}

    async def _unload(self, message: Any, grant: Grant, _: Trace) -> dict[str, Any]:
        grant.require_management(message.model_name)
        _require_only_repository(message)
        require_load_parameters(plain(message.parameters), unloading=True)
        await self._service.unload(message.model_name)
        return {}

    async def _infer(self, message: Any, grant: Grant, trace: Trace) -> Any:
        entry = self._entry(message.model_name, message.model_version, grant)
        try:
            grant.require_left()
            wanted = asked(message, entry.model.signature)
            grant.spend(wanted.rows)
            question = Question(wanted.values, wanted.rows, lambda _: None, grant.name, message.id, trace=trace)
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


async def _write(context: Any, message: Any) -> None:
    await context.write(message.SerializeToString())


def _address(context: Any) -> str:
    """Return where a call comes from, without its port."""
    return str(context.peer()).rpartition(":")[0]


async def _questions(context: Any) -> AsyncIterator[Any]:
    """Yield what a reflecting client asks until it has no more."""
    while (content := await context.read()) is not grpc.aio.EOF:
        yield _decoded(reflection_pb2.ServerReflectionRequest, content)


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


def _fields(details: Any) -> dict[bytes, bytes]:
    """Return the call's metadata as HTTP would have it."""
    return {
        key.encode(): value if isinstance(value, bytes) else value.encode()
        for key, value in details.invocation_metadata or ()
    }


def _options(limits: Limits, *, shared: bool) -> list[tuple[str, int]]:
    """Return how the C core bounds a connection: what HTTP bounds there is bounded here as well."""
    milliseconds = 1000
    return [
        ("grpc.max_receive_message_length", limits.max_body_bytes),  # after decompression too
        ("grpc.max_metadata_size", limits.max_head_bytes),
        ("grpc.absolute_max_metadata_size", limits.max_head_bytes),
        ("grpc.max_concurrent_streams", limits.max_pipelined),
        ("grpc.max_allowed_incoming_connections", limits.max_connections),
        ("grpc.max_connection_idle_ms", int(limits.idle_s * milliseconds)),
        ("grpc.server_handshake_timeout_ms", int(limits.request_s * milliseconds)),
        ("grpc.keepalive_time_ms", int(limits.idle_s * milliseconds)),
        ("grpc.keepalive_timeout_ms", int(limits.write_s * milliseconds)),
        ("grpc.http2.bdp_probe", 0),  # or a window that nobody reads from grows to megabytes a connection
        ("grpc.so_reuseport", int(shared)),
    ]


@asynccontextmanager
async def listening(
    door: GrpcDoor, address: str, tls: tuple[bytes, bytes] | None, limits: Limits, *, drain_s: float, shared: bool
) -> AsyncIterator[int]:
    """Listen on an address while the body runs, and yield the port; calls under way are answered before it ends.

    `address` is `host:port`, an IPv6 host in brackets; `tls` is the private key and the certificate; `shared` lets
    other workers listen there too. Raises CannotListen where the port is taken.
    """
    server = grpc.aio.server(options=_options(limits, shared=shared))
    server.add_generic_rpc_handlers((door,))
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
        door.health.end()
        await server.stop(drain_s)
