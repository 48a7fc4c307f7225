"""One connection: order, limits, and clients that are slow, broken or malicious."""

import json
import resource
import socket
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from factory.gateway.access.key_file import add_key
from factory.gateway.limits import Limits
from tests.gateway.builders import Shop, eventually, onnx_model, question, running

LIMITS = Limits(
    max_body_bytes=4096, max_head_bytes=2048, max_connections=8, max_pipelined=4, request_s=0.6, idle_s=1.2, write_s=1.0
)
CHUNKED = b"POST /v2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
DOCS = b"GET /docs HTTP/1.1\r\nHost: x\r\n\r\n"
LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    shop = Shop(tmp_path_factory.mktemp("home"))
    shop.release(onnx_model())
    with running(shop, limits=LIMITS) as made:
        yield made


@contextmanager
def connected(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        yield connection


def infer(name=b"", body=None, extra=b""):
    content = body or json.dumps({**question([[1, 2, 3]]), "id": name.decode()}).encode()
    head = b"POST /v2/models/toy.UA/infer HTTP/1.1\r\nHost: x\r\n%bContent-Length: %d\r\n\r\n" % (extra, len(content))
    return head + content


def everything(connection) -> bytes:
    """All that comes until the server closes."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def until(connection, count: int, of: bytes = b"HTTP/1.1 ") -> bytes:
    """What came when there were so many of these."""
    found = b""
    while found.count(of) < count or not found.endswith(b"}"):
        part = connection.recv(65536)
        assert part, found
        found += part
    return found


def test_pipelined_requests_are_answered_in_their_order(server):
    names = [b"n%d" % number for number in range(20)]
    with connected(server) as connection:
        connection.sendall(b"".join(infer(name) + LIVE for name in names))
        found = until(connection, 40)
    places = [found.index(b'"id":"%b"' % name) for name in names]
    assert places == sorted(places)
    assert found.count(b'"live":true') == 20


def test_a_request_in_single_bytes_is_answered(server):
    with connected(server) as connection:
        for byte in infer():
            connection.sendall(bytes([byte]))
        assert until(connection, 1).startswith(b"HTTP/1.1 200")


def test_a_connection_lives_on_and_ends_when_it_is_asked_to(server):
    with connected(server) as connection:
        for _ in range(3):
            connection.sendall(LIVE)
            assert b"connection: close" not in until(connection, 1)
        connection.sendall(LIVE.replace(b"Host: x", b"Host: x\r\nConnection: close"))
        assert b"connection: close" in everything(connection)


def test_who_closes_its_side_early_is_still_answered(server):
    with connected(server) as connection:
        connection.sendall(infer())
        connection.shutdown(socket.SHUT_WR)
        assert everything(connection).startswith(b"HTTP/1.1 200")


def test_a_client_that_waits_for_100_continue_is_told_to_go_on(server):
    request = infer(extra=b"Expect: 100-continue\r\n")
    head, body = request.split(b"\r\n\r\n")
    with connected(server) as connection:
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert until(connection, 1).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET /v2 HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        (b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        (b"GET /v2 HTTP/1.1\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (CHUNKED + b"zz\r\n", 400),
        (CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (CHUNKED + b"0\r\n" + b"a: y\r\n" * 4000, 431),
        (CHUNKED + b"0\r\na: " + b"y" * 20_000, 431),
        (CHUNKED + b"3;" + b"y" * 20_000, 431),
        (b"GET /v2 HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 5000 + b"\r\n\r\n", 431),
        (b"GET /v2 HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 9000, 431),
        (b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
        (infer(body=b" " * 5000), 413),
        (b"POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
        (CHUNKED + (b"400\r\n" + b"x" * 1024 + b"\r\n") * 5, 413),
    ],
)
def test_what_is_no_request_or_too_large_is_refused_once_and_the_connection_closed(server, sent, status):
    with connected(server) as connection:
        connection.sendall(sent + LIVE)
        found = everything(connection)
    assert found.startswith(b"HTTP/1.1 %d " % status)
    assert found.count(b"\r\ndate: ") == 1
    assert b'{"error":' in found
    assert b"connection: close" in found


def test_what_comes_after_a_body_in_chunks_is_no_header(server):
    body = json.dumps(question([[1, 2, 3]])).encode()
    asked = CHUNKED.replace(b"/v2", b"/v2/models/toy.UA/infer") + b"%x\r\n%b\r\n" % (len(body), body)
    with connected(server) as connection:
        connection.sendall(asked + b"0\r\nInference-Header-Content-Length: 3\r\n\r\n")
        assert until(connection, 1).startswith(b"HTTP/1.1 200")


def test_a_head_that_comes_after_many_requests_is_not_charged_for_them(server):
    many = infer() * 60
    with connected(server) as connection:
        connection.sendall(many + LIVE[:20])
        found = until(connection, 60)
        connection.sendall(LIVE[20:])
        found += until(connection, 1)
    assert found.count(b"HTTP/1.1 200") == 61


def test_no_more_is_answered_than_the_client_takes(server):
    before = resident_bytes()
    with connected(server) as deaf:
        deaf.sendall(DOCS * 3000)  # 72 MB of answers
        eventually(lambda: answered(server))
        time.sleep(0.3)  # a gateway that went on answering would have grown by now
        assert resident_bytes() - before < 30e6


def resident_bytes() -> int:
    """Of this process, in which the gateway runs."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_all_that_was_asked_is_answered_though_the_client_has_closed_its_side(server):
    asked = [b"n%d" % number for number in range(200)]
    with connected(server) as connection:
        connection.sendall(b"".join(infer(name) for name in asked))
        connection.shutdown(socket.SHUT_WR)
        found = everything(connection)
    places = [found.index(b'"id":"%b"' % name) for name in asked]
    assert places == sorted(places)


def test_all_that_was_asked_is_answered_though_the_client_has_closed_its_side_and_takes_its_time(server):
    with connected(server) as connection:
        connection.sendall(DOCS * 600)  # 14 MB of answers: it is written to until it takes no more
        connection.shutdown(socket.SHUT_WR)
        time.sleep(0.3)  # the gateway has met the end of the questions before it can write on
        assert everything(connection).count(b"HTTP/1.1 200") == 600


def test_a_refusal_behind_as_many_questions_as_may_wait_does_not_wait_for_the_clock(tmp_path):
    shop = Shop(tmp_path)
    shop.release(onnx_model())
    with running(shop, limits=Limits(max_pipelined=4)) as server, connected(server) as connection:
        connection.sendall(infer() * 4 + b"nonsense\r\n\r\n")
        found = everything(connection)  # the clock of this gateway ends nobody within the client's patience
    assert found.count(b"HTTP/1.1 200") == 4
    assert b"HTTP/1.1 400" in found


def test_a_slash_in_a_part_of_a_path_makes_no_two_parts_of_it(server):
    with connected(server) as connection:
        connection.sendall(b"POST /v2%2Frepository%2findex HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        assert until(connection, 1).startswith(b"HTTP/1.1 404")


def test_who_has_no_key_cannot_have_a_long_body_read_and_unfinished_ones_are_bounded(tmp_path):
    shop, keys = Shop(tmp_path), tmp_path / "keys" / "gateway.json"
    shop.release(onnx_model())
    secret = add_key(keys, "erp").encode()
    limits = Limits(known_body_bytes=10_000, max_unfinished_bytes=150_000)
    long = b"POST /v1/lines/toy/sites/UA/predict HTTP/1.1\r\nHost: x\r\n%bContent-Length: 100001\r\n\r\n"
    with running(shop, keys=keys, limits=limits) as server:
        with connected(server) as stranger:
            stranger.sendall(long % b"" + b" " * 20_000)
            found = everything(stranger)
        assert found.startswith(b"HTTP/1.1 401")
        assert b"content-type: application/problem+json" in found
        for _ in range(3):  # a connection that ends gives its memory back
            with connected(server) as first, connected(server) as second:
                for client in (first, second):
                    client.sendall(long % (b"X-Api-Key: %b\r\n" % secret) + b" " * 100_000)
                    time.sleep(0.1)  # the first one's body has come before the second's
                assert everything(second).startswith(b"HTTP/1.1 503")
                first.sendall(b" ")
                assert b"the body is no question" in until(first, 1)


@pytest.mark.parametrize("offered", [b"websocket", b"h2c", b"h2c, TLS/1.0"])
def test_an_offer_of_another_protocol_is_declined_by_going_on_in_this_one(server, offered):
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %b\r\nHTTP2-Settings: AAMAAABk\r\n" % offered
    in_chunks = offer + b"Transfer-Encoding: chunked\r\n"
    with connected(server) as connection:
        connection.sendall(infer(b"a", extra=offer) + LIVE.replace(b"\r\n\r\n", b"\r\n%b\r\n" % offer) + infer(b"b"))
        found = until(connection, 3)
        for byte in CHUNKED.replace(b"Transfer-Encoding: chunked\r\n", in_chunks) + b"2\r\n{}\r\n0\r\n\r\n" + LIVE:
            connection.sendall(bytes([byte]))
        last = until(connection, 2)
    assert found.index(b'"id":"a"') < found.index(b'"live":true') < found.index(b'"id":"b"')
    assert b"connection: close" not in found + last
    assert last.startswith(b"HTTP/1.1 405")
    assert b'"live":true' in last


def test_after_an_offer_of_another_protocol_the_connection_ends_where_the_client_says_so(server):
    offer = b"Connection: Upgrade, close\r\nUpgrade: h2c\r\n"
    with connected(server) as connection:
        connection.sendall(infer(b"a", extra=offer))
        found = everything(connection)
    assert b'"id":"a"' in found
    assert b"connection: close" in found


def test_who_speaks_http_2_from_the_start_is_told_in_its_own_words_to_speak_http_1(server):
    with connected(server) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
        found = everything(connection)
    settings, goodbye = found[:9], found[9:]
    assert settings == b"\0\0\0\x04" + bytes(5)
    assert goodbye[3] == 7
    assert goodbye[13:17] == b"\0\0\0\x0d"  # HTTP_1_1_REQUIRED
    assert b"HTTP/1.1" in goodbye[17:]


def test_answers_that_are_due_come_before_a_refusal(server):
    with connected(server) as connection:
        connection.sendall(infer(b"first") + b"nonsense\r\n\r\n")
        found = everything(connection)
    assert found.startswith(b"HTTP/1.1 200")
    assert b'"id":"first"' in found
    assert b"HTTP/1.1 400" in found


@pytest.mark.parametrize("sent", [b"GET /v2 HT", infer()[:-1], infer()[:60]], ids=["line", "body", "head"])
def test_who_takes_too_long_to_ask_is_told_so_and_others_are_not_held_up(server, sent):
    with connected(server) as slow:
        slow.sendall(sent)
        with connected(server) as quick:
            quick.sendall(infer())
            assert until(quick, 1).startswith(b"HTTP/1.1 200")
        assert everything(slow).startswith(b"HTTP/1.1 408")


def test_who_says_nothing_is_closed(server):
    with connected(server) as silent:
        assert everything(silent) == b""
    with connected(server) as idle:
        idle.sendall(LIVE)
        assert until(idle, 1)
        assert everything(idle) == b""


def test_who_does_not_take_its_answers_is_dropped_and_holds_up_nobody(server):
    with connected(server) as deaf:
        deaf.settimeout(0.3)
        with pytest.raises((TimeoutError, ConnectionError)):  # the server reads no more
            send_for_ever(deaf, DOCS * 200)
        with connected(server) as quick:
            quick.sendall(LIVE)
            assert until(quick, 1).startswith(b"HTTP/1.1 200")
        deaf.settimeout(10)
        with pytest.raises(ConnectionError):  # and then ends the connection
            send_for_ever(deaf, LIVE, pause_s=0.05)


def send_for_ever(connection, content, pause_s=0.0):
    while True:
        connection.send(content)
        time.sleep(pause_s)


def test_more_connections_than_the_limit_are_told_so(server):
    opened = [socket.create_connection(("127.0.0.1", server.port), timeout=5) for _ in range(8)]
    try:
        with connected(server) as one_more:
            assert everything(one_more).startswith(b"HTTP/1.1 503")
    finally:
        for connection in opened:
            connection.close()
    eventually(lambda: answered(server))


def answered(server) -> bool:
    with connected(server) as connection:
        connection.sendall(LIVE)
        return connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_requests_under_way_are_answered_before_the_gateway_ends(tmp_path):
    shop = Shop(tmp_path)
    shop.release(onnx_model())
    with running(shop) as server, connected(server) as connection, connected(server) as idle:
        connection.sendall(infer()[:-1])
        eventually(lambda: answered(server))
        server.stop()
        assert everything(idle) == b""
        connection.sendall(infer()[-1:])
        found = everything(connection)
    assert found.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in found
