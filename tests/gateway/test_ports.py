"""Which ports and addresses a gateway can be told, and what it makes of them."""

import socket

import pytest
import tritonclient.grpc
from typer.testing import CliRunner

from factory.cli.app import app
from factory.gateway.processes.ports import held_port, host_and_port
from tests.gateway.builders import Shop, running
from tests.gateway.several_workers import released, serving


def ipv6():
    """Whether this machine has a loopback of IPv6."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


with_ipv6 = pytest.mark.skipif(not ipv6(), reason="this machine has no IPv6")


@pytest.mark.parametrize(
    ("host", "told"), [("127.0.0.1", "127.0.0.1:80"), ("erp.local", "erp.local:80"), ("::1", "[::1]:80")]
)
def test_an_address_of_ipv6_stands_in_brackets_before_its_port(host, told):
    assert host_and_port(host, 80) == told


def grpc_answers(address):
    with tritonclient.grpc.InferenceServerClient(address) as client:
        return client.is_server_live()


@with_ipv6
def test_both_doors_open_on_an_address_of_ipv6(tmp_path, caplog):
    caplog.set_level("INFO")
    with running(Shop(tmp_path), host="::1", grpc_port=0) as server:
        assert grpc_answers(f"[::1]:{server.grpc_port}")
        assert f"listening on http://[::1]:{server.port}, gRPC" in caplog.text


@with_ipv6
def test_several_workers_share_both_ports_on_an_address_of_ipv6(tmp_path):
    with serving(released(tmp_path), "--host", "::1", "--grpc-port", "0") as served:
        assert served.told(f"workers answer on http://[::1]:{served.port}, gRPC")
        assert grpc_answers(f"[::1]:{served.grpc_port}")


@pytest.mark.parametrize("option", ["--port", "--grpc-port"])
@pytest.mark.parametrize("number", ["65536", "99999", "-1"])
def test_a_port_that_cannot_be_is_refused_before_anything_is_served(tmp_path, option, number):
    told = CliRunner().invoke(app, ["serve", "--home", str(tmp_path), option, number])
    assert told.exit_code == 2
    assert "Invalid value" in told.output


def test_a_port_whose_last_connections_fade_away_can_be_had_at_once():
    with socket.socket() as before:
        before.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        before.bind(("127.0.0.1", 0))
        before.listen()
        port = before.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            before.accept()[0].close()  # who closes first keeps the port for a minute
            assert client.recv(1) == b""
    with held_port("127.0.0.1", port) as held, socket.socket() as worker:
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            worker.setsockopt(socket.SOL_SOCKET, option, 1)
        worker.bind(("127.0.0.1", held))
        worker.listen()
