"""Requests of every kind: from the OpenAPI document, and valid ones that were damaged ten thousand times."""

import copy
import random
import socket

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import checks
from schemathesis.specs.openapi import checks as openapi_checks

from factory.gateway.endpoints.openapi import openapi
from factory.model.payoff import Payoff
from factory.release import Guard
from tests.gateway.builders import Shop, onnx_model, running
from tests.gateway.test_connection import infer

MUTATIONS = 10_000
CLIENTS_FAULT = {*range(100, 500), 501, 505}
"""Statuses of requests; 501 and 505 say that a method, a transfer coding or a version is not spoken."""
KNOWN = {"model": ["toy.UA", "toy.ZZ"], "version": ["3", "4"], "line": ["toy"], "site": ["UA", "ZZ"]}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    shop = Shop(tmp_path_factory.mktemp("home"))
    guard = Guard(ranges={"f0": (0.0, 5.0)}, typical={"f0": 1.0, "f1": 0.0, "f2": 2.0})
    shop.release(onnx_model(), version=3, guard=guard, stakes=Payoff(right_eur=5.0, wrong_eur=-1.0))
    with running(shop) as made:
        yield made


def document():
    """The OpenAPI document, for one model that is there and one that is not."""
    found = copy.deepcopy(openapi())
    for methods in found["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = {"enum": KNOWN[parameter["name"]]}
    return found


SCHEMA = schemathesis.openapi.from_dict(document())
OPERATIONS = [
    (path, method)
    for path, methods in document()["paths"].items()
    for method in methods
    if not path.endswith("/unload")  # which would leave nothing to ask
]
CHECKS = (
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.unsupported_method,
)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_operation_answers_as_the_document_says(server, path, method):
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=SCHEMA[path][method].as_strategy())
    def ask(case):
        case.call_and_validate(base_url=f"http://127.0.0.1:{server.port}", checks=list(CHECKS))

    ask()


def mutated(valid: bytes, generator: random.Random) -> bytes:
    """The request with one to four pieces of it changed, cut, doubled or moved."""
    content = bytearray(valid)
    for _ in range(generator.randint(1, 4)):
        start = generator.randrange(len(content) + 1)
        end = min(len(content), start + generator.choice((1, 1, 2, 8, 40)))
        piece = content[start:end]
        content[start:end] = generator.choice(
            (b"", piece + piece, generator.randbytes(len(piece)), generator.choice(PIECES), piece[::-1])
        )
    return bytes(content)


PIECES = (
    b"-",
    b"1e999",
    b"null",
    b"[",
    b"]]",
    b'"',
    b"{}",
    b"\r\n",
    b"\x00",
    b"99999999999999999999",
    b"\xff\xfe",
    b",",
)


def test_ten_thousand_damaged_requests_get_no_failure_of_the_server_and_a_whole_one_is_answered_after_each(server):
    generator = random.Random(7)  # noqa: S311  damage, no secret
    valid, failed = infer(b"a-1", extra=b"Connection: close\r\n"), []
    for number in range(MUTATIONS):
        sent = mutated(valid, generator)
        status = status_of(server.port, sent)
        if status is not None and status not in CLIENTS_FAULT:
            failed.append((status, sent))
        if number % 500 == 0:
            assert status_of(server.port, valid) == 200
    assert not failed, failed[:3]


def status_of(port: int, sent: bytes) -> int | None:
    """The status of the first answer; None where there was none, for what was sent may be no whole request."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        try:
            found = connection.recv(4096)
        except ConnectionError:
            return None
    return int(found.split(b" ", 2)[1]) if found else None
