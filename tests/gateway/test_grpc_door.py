"""Health, reflection and limits over gRPC, and clients that mean harm."""

import re
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from factory.gateway.access.key_file import add_key
from factory.gateway.endpoints.grpc.messages import CLASSES, SERVICE
from factory.gateway.limits import Limits
from tests.gateway.builders import Shop, eventually, onnx_model, running

ROOT = Path(__file__).resolve().parents[2]
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
INFER = f"/{SERVICE}/ModelInfer"
MIB = 1024**2


@pytest.fixture
def shop(tmp_path):
    made = Shop(tmp_path)
    made.release(onnx_model())
    return made


@pytest.fixture
def keys(tmp_path):
    return tmp_path / "keys" / "gateway.json"


def channel_to(server, **options):
    names = [(f"grpc.{name}", value) for name, value in options.items()]
    return grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", [*names, ("grpc.use_local_subchannel_pool", 1)])


def checked(channel, service=""):
    return health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=60).status


def infer_message(rows=1):
    return CLASSES["ModelInferRequest"](
        model_name="toy.UA",
        inputs=[{"name": "features", "datatype": "FP32", "shape": [rows, 3]}],
        raw_input_contents=[np.ones((rows, 3), "<f4").tobytes()],
    ).SerializeToString()


def refused(call, *asked, **how):
    with pytest.raises(grpc.RpcError) as error:
        call(*asked, timeout=60, **how)
    return error.value.code(), error.value.details()


class TestHealth:
    def test_it_follows_what_is_served_and_needs_no_key(self, shop, keys):
        add_key(keys, "erp")
        with running(shop, grpc_port=0, keys=keys) as server, channel_to(server) as channel:
            assert [checked(channel), checked(channel, SERVICE)] == [SERVING, SERVING]
            stub = health_pb2_grpc.HealthStub(channel)
            code, _ = refused(stub.Check, health_pb2.HealthCheckRequest(service="other"))
            assert code is grpc.StatusCode.NOT_FOUND

    def test_a_gateway_without_a_model_is_not_serving(self, tmp_path):
        shop = Shop(tmp_path)
        (tmp_path / "models").mkdir()
        with running(shop, grpc_port=0) as server, channel_to(server) as channel:
            assert checked(channel) == NOT_SERVING
            shop.release(onnx_model())
            eventually(lambda: checked(channel) == SERVING)

    def test_who_watches_hears_of_a_change_and_of_the_end(self, tmp_path):
        shop = Shop(tmp_path)
        (tmp_path / "models").mkdir()
        with running(shop, grpc_port=0) as server, channel_to(server) as channel:
            states = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert next(states).status == NOT_SERVING
            shop.release(onnx_model())
            assert next(states).status == SERVING
            server.stop()
            assert next(states).status == NOT_SERVING
            assert list(states) == []


class TestReflection:
    def test_services_and_their_messages_are_told(self, shop):
        with running(shop, grpc_port=0) as server, channel_to(server) as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            assert {SERVICE, "grpc.health.v1.Health"} <= set(database.get_services())
            service = next(iter(database.FindFileContainingSymbol(SERVICE).service))
            assert "ModelInfer" in [method.name for method in service.method]

    def test_it_needs_a_key_where_keys_are_in_use(self, shop, keys):
        add_key(keys, "erp")
        with running(shop, grpc_port=0, keys=keys) as server, channel_to(server) as channel:
            ask = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
            with pytest.raises(grpc.RpcError) as error:
                list(ask(iter([b""]), timeout=5))
            assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED


class TestCompression:
    @pytest.mark.parametrize("coding", [grpc.Compression.Gzip, grpc.Compression.Deflate])
    def test_a_compressed_call_is_answered(self, shop, coding):
        with running(shop, grpc_port=0) as server, channel_to(server) as channel:
            answer = channel.unary_unary(INFER)(infer_message(rows=500), compression=coding, timeout=60)
        assert CLASSES["ModelInferResponse"].FromString(answer).outputs[0].shape == [500, 1]

    def test_what_becomes_too_large_is_refused(self, shop):
        limits = Limits(max_body_bytes=64 * 1024)
        with running(shop, grpc_port=0, limits=limits) as server, channel_to(server) as channel:
            code, _ = refused(channel.unary_unary(INFER), bytes(MIB), compression=grpc.Compression.Gzip)
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_method_or_service_that_is_not_there_is_named(shop):
    with running(shop, grpc_port=0) as server, channel_to(server) as channel:
        assert refused(channel.unary_unary(f"/{SERVICE}/Nothing"), b"")[1].startswith("no method 'Nothing'")
        code, said = refused(channel.unary_unary("/other.Service/Ask"), b"")
    assert (code, said.split(";")[0]) == (grpc.StatusCode.UNIMPLEMENTED, "no service 'other.Service'")


def test_connections_and_calls_at_once_are_bounded(shop):
    limits = Limits(max_connections=3, max_pipelined=4)
    with running(shop, grpc_port=0, limits=limits) as server:
        channels = [channel_to(server) for _ in range(6)]
        ready = [grpc.channel_ready_future(channel) for channel in channels]
        time.sleep(1.0)
        assert 1 <= sum(one.done() for one in ready) <= 3
        for one, channel in zip(ready, channels, strict=True):
            one.cancel()
            channel.close()


class TestAttack:
    """Messages that are announced and never whole."""

    def test_without_a_key_nothing_of_a_message_is_read(self, shop, keys):
        add_key(keys, "erp")
        with running(shop, grpc_port=0, keys=keys) as server, channel_to(server) as channel:
            code, said = refused(channel.unary_unary(INFER), bytes(8 * MIB))
        assert code is grpc.StatusCode.UNAUTHENTICATED
        assert said.startswith("no key")

    @pytest.mark.slow
    def test_slow_messages_are_few_at_once_few_of_a_client_and_end(self, shop, keys):
        pytest.importorskip("h2")
        secrets = {name: add_key(keys, name) for name in ("erp", "mes", "crm")}
        limits = Limits(max_body_bytes=MIB, max_unfinished_bytes=8 * MIB, request_s=4.0)  # eight, two of a client
        with running(shop, grpc_port=0, limits=limits, keys=keys) as server, channel_to(server) as channel:
            attacks = [
                Attack(server.grpc_port, streams=8, size=MIB, headers=(("x-api-key", secrets[name]),))
                for name in ("erp", "erp", "mes")
            ]
            eventually(lambda: sum(attack.reset for attack in attacks) >= 20)  # two of each client may go on
            call = channel.unary_unary(INFER)
            for _ in range(20):  # whoever they are, their messages come at once
                assert call(infer_message(), timeout=60, metadata=(("x-api-key", secrets["crm"]),))
            slow = Attack(server.grpc_port, streams=1, size=MIB, headers=(("x-api-key", secrets["crm"]),))
            time.sleep(0.5)
            assert slow.reset == 0  # it goes on, whoever else holds what there is
            eventually(lambda: sum(attack.reset for attack in attacks) == 24)  # the time of the four is over
            eventually(lambda: slow.reset == 1)
            for attack in (*attacks, slow):
                attack.close()


START = (
    "import sys, threading; from pathlib import Path; from factory.gateway.processes.server import Server, Settings; "
    "home = Path(sys.argv[1]); settings = Settings(port=0, grpc_port=0, keys=home / 'keys' / 'gateway.json'); "
    "s = Server(home / 'models', home / 'keys' / 'release.pub', settings); "
    "tell = lambda: (s.started.wait(), print(s.grpc_port, flush=True)); threading.Thread(target=tell).start(); s.run()"
)
ATTACKS = {
    "eight connections of twenty calls": {"connections": 8, "streams": 20},
    "many connections": {"connections": 60, "streams": 2},
    "health": {"connections": 8, "streams": 20, "path": "/grpc.health.v1.Health/Check"},
    "a slow drip": {"connections": 20, "streams": 20, "pause_s": 0.2},
}


@pytest.mark.slow
@pytest.mark.parametrize("who", ["nobody", "no key", "a key"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_no_attack_takes_more_memory_than_the_limits_say_and_others_are_answered(shop, keys, attack, who):
    """Sixteen MiB a message, its last bytes held back; who: nobody has a key, the attacker has none, or has one."""
    pytest.importorskip("h2")
    secret = add_key(keys, "erp") if who != "nobody" else ""
    metadata = (("x-api-key", secret),) if secret else ()
    how = dict(ATTACKS[attack])
    words = [sys.executable, "-c", START, str(shop.home)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        port = int(process.stdout.readline())
        before = resident_mb(process.pid)
        headers = metadata if who == "a key" else ()
        attacks = [Attack(port, size=16 * MIB, headers=headers, **how) for _ in range(how.pop("connections"))]
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, ThreadPoolExecutor(1) as pool:
            end, most = time.monotonic() + 15, before
            call = channel.unary_unary(INFER)
            while time.monotonic() < end:
                pool.submit(call, infer_message(), metadata=metadata, timeout=60).result()
                assert checked(channel) == SERVING
                most = max(most, resident_mb(process.pid))
        for one in attacks:
            one.close()
        process.terminate()
    sys.stdout.write(f"{attack}, {who}: {before:.0f} to {most:.0f} MB\n")
    holds_mb = 128 if who == "no key" or "path" in how else 512
    assert most < before + 1.25 * holds_mb + 64


FRAMES = {
    "pings": b"\0\0\x08\x06\0\0\0\0\0" + bytes(8),
    "settings": b"\0\0\0\x04\0\0\0\0\0",
    "window updates": b"\0\0\x04\x08\0\0\0\0\0\0\0\0\x01",
    "calls that are reset at once": None,
}


@pytest.mark.slow
@pytest.mark.parametrize("frames", FRAMES)
def test_floods_of_control_frames_are_bounded_and_others_are_answered(shop, frames):
    pytest.importorskip("h2")
    with subprocess.Popen(
        [sys.executable, "-c", START, str(shop.home)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        port = int(process.stdout.readline())
        before = resident_mb(process.pid)
        floods = [Flood(port, FRAMES[frames]) for _ in range(8)]
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            end, most = time.monotonic() + 15, before
            while time.monotonic() < end:
                assert channel.unary_unary(INFER)(infer_message(), timeout=60)
                most = max(most, resident_mb(process.pid))
        for flood in floods:
            flood.close()
        process.terminate()
    sys.stdout.write(f"{frames}: {before:.0f} to {most:.0f} MB\n")
    assert most < before + 512


class Flood:
    """One connection that sends the same frames as fast as it can, and reads whatever comes."""

    def __init__(self, port: int, frame: bytes | None) -> None:
        import h2.connection

        self._frame = frame
        self._http2 = h2.connection.H2Connection()
        self._http2.initiate_connection()
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.sendall(self._http2.data_to_send())
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._send, self._read)]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        with suppress(OSError):  # the server ended it, or we did
            for number in range(1, 2**31, 200):
                self._socket.sendall(self._frame * 500 if self._frame else self._reset_calls(number))

    def _reset_calls(self, first: int) -> bytes:
        frames = []
        for number in range(first, first + 200, 2):
            fields = {":method": "POST", ":scheme": "http", ":path": INFER, ":authority": "x", "te": "trailers"}
            head = self._http2.encoder.encode([*fields.items(), ("content-type", "application/grpc")])
            of = number.to_bytes(4, "big")
            frames += [len(head).to_bytes(3, "big"), b"\x01\x04", of, head, b"\0\0\x04\x03\0", of, b"\0\0\0\x08"]
        return b"".join(frames)

    def _read(self) -> None:
        with suppress(OSError):
            while self._socket.recv(65536):
                pass

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(5)


def resident_mb(pid: int) -> float:
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


class Attack:
    """One connection whose calls each hold back the last byte of their message."""

    def __init__(
        self, port: int, streams: int, size: int, headers: tuple = (), *, path: str = INFER, pause_s: float = 0.0
    ) -> None:
        import h2.config
        import h2.connection

        self.reset = 0
        self._pause_s = pause_s
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._http2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self._http2.initiate_connection()
        self._left = {}
        for number in range(streams):
            name = 2 * number + 1
            self._http2.send_headers(
                name,
                [
                    (":method", "POST"),
                    (":scheme", "http"),
                    (":path", path),
                    (":authority", "x"),
                    ("te", "trailers"),
                    ("content-type", "application/grpc"),
                    *headers,
                ],
            )

            self._http2.send_data(name, b"\0" + (size - 64).to_bytes(4, "big"))
            self._left[name] = size - 65
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def _live(self) -> None:
        import h2.events
        import h2.exceptions

        try:
            while True:
                self._send()
                if not (content := self._socket.recv(65536)):
                    return
                for event in self._http2.receive_data(content):
                    if isinstance(event, h2.events.StreamReset | h2.events.StreamEnded):
                        self.reset += self._left.pop(event.stream_id, None) is not None
        except (OSError, h2.exceptions.ProtocolError):  # the server has gone, or this connection
            return

    def _send(self) -> None:
        for name in self._left:
            while (window := min(self._http2.local_flow_control_window(name), self._left[name], 16_384)) > 0:
                self._http2.send_data(name, bytes(window))
                self._left[name] -= window
                if self._pause_s:
                    break
        self._socket.sendall(self._http2.data_to_send())
        time.sleep(self._pause_s)

    def close(self) -> None:
        with suppress(OSError):  # the server has gone
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)
