"""What clients say beside the body: heard, or refused by name; in any combination, order and cut into any pieces."""

import asyncio
import contextlib
import gzip
import json
import re
import zlib
from collections.abc import Mapping

import pytest
from backports import zstd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factory.gateway.access.key_file import add_key
from factory.gateway.http.connection import Connections
from factory.gateway.http.content import decoded_body
from factory.gateway.http.fields import accepts, answer_coding
from factory.gateway.http.messages import Request, as_error, as_json
from factory.gateway.limits import Limits
from factory.gateway.refusal import RequestRefused
from tests.gateway.builders import Shop, gateway, onnx_model, question
from tests.gateway.test_connection import connected

INFER, INDEX = "/v2/models/toy.UA/infer", "/v2/repository/index"
ASKED = json.dumps({**question([[1, 2, 3]]), "id": "a"}).encode()
LIMITS = Limits(max_body_bytes=300_000)
RAW = zlib.compressobj(wbits=-15)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    shop = Shop(tmp_path_factory.mktemp("home"))
    shop.release(onnx_model(), version=3)
    return shop


@pytest.fixture(scope="module")
def client(shop):
    with gateway(shop, limits=LIMITS) as made:
        yield made


def two(content: bytes) -> bytes:
    """Two streams, one after the other."""
    return gzip.compress(content[:7]) + gzip.compress(content[7:])


CODED = {
    "gzip": gzip.compress(ASKED),
    "x-gzip": two(ASKED),
    "GZip": gzip.compress(ASKED),
    "deflate": zlib.compress(ASKED),
    "zstd": zstd.compress(ASKED[:9]) + zstd.compress(ASKED[9:]),
    "identity": ASKED,
    "gzip, zstd": zstd.compress(gzip.compress(ASKED)),
    "deflate, identity, deflate": zlib.compress(zlib.compress(ASKED)),
}


@pytest.mark.parametrize("coding", CODED)
def test_a_body_is_read_in_every_coding_that_is_named(client, coding):
    answer = client.post(INFER, content=CODED[coding], headers={"Content-Encoding": coding})
    assert answer.json()["id"] == "a"


def test_a_deflated_body_without_the_form_around_it_is_read(client):
    raw = RAW.compress(ASKED) + RAW.flush()
    assert client.post(INFER, content=raw, headers={"Content-Encoding": "deflate"}).json()["id"] == "a"


CHARSETS = ["utf-8", "UTF8", "us-ascii", "utf-16", "utf-16le", "UTF-16BE", "utf-32", "iso-8859-1", "windows-1252"]


@pytest.mark.parametrize("charset", CHARSETS)
def test_json_is_read_in_the_character_set_that_is_named(client, charset):
    named = "Z" if charset == "us-ascii" else "Zürich"
    body = json.dumps({**question([[1, 2, 3]]), "id": named}, ensure_ascii=False).encode(charset)
    kind = f'application/json; charset="{charset}"'
    assert client.post(INFER, content=body, headers={"Content-Type": kind}).json()["id"] == named


def test_a_byte_order_mark_is_passed_over(client):
    assert client.post(INFER, content=b"\xef\xbb\xbf" + ASKED).json()["id"] == "a"


BOMB = gzip.compress(bytes(300_001))
REFUSED = {
    "coding": ({"Content-Encoding": "br"}, ASKED, 415, "Content-Encoding 'br' is not read here"),
    "no gzip": ({"Content-Encoding": "gzip"}, ASKED, 400, "the body is no gzip"),
    "half": ({"Content-Encoding": "gzip"}, CODED["gzip"][:-9], 400, "ends in the middle of its gzip"),
    "half zstd": ({"Content-Encoding": "zstd"}, zstd.compress(ASKED)[:-9], 400, "ends in the middle of its zstd"),
    "more after": ({"Content-Encoding": "zstd"}, zstd.compress(ASKED) + b"more", 400, "the body is no zstd"),
    "bomb": ({"Content-Encoding": "gzip"}, BOMB, 413, "over 300000 bytes long once it is decompressed"),
    "bomb in two": ({"Content-Encoding": "gzip"}, gzip.compress(bytes(299_999)) + two(bytes(9)), 413, "decompressed"),
    "bomb in a bomb": ({"Content-Encoding": "gzip, zstd"}, zstd.compress(BOMB), 413, "decompressed"),
    "many": ({"Content-Encoding": "gzip"}, gzip.compress(b"") * 65, 400, "over 64 streams of gzip"),
    "codings": ({"Content-Encoding": "gzip," * 5}, ASKED, 415, "5 codings"),
    "charset": ({"Content-Type": "application/json; charset=ebcdic"}, ASKED, 415, "charset 'ebcdic' is not read"),
    "no charset": ({"Content-Type": "application/json; charset=utf-16"}, b"{}{", 400, "the body is no utf-16"),
    "kind": ({"Content-Type": "application/xml"}, ASKED, 415, "Content-Type is 'application/xml'"),
    "expectation": ({"Expect": "200-ok"}, ASKED, 417, "Expect is '200-ok'"),
    "two expectations": ({"Expect": "100-continue, x"}, ASKED, 417, "only 100-continue"),
    "part": ({"Content-Range": "bytes 0-3/9"}, ASKED, 400, "is a part of a body"),
    "version": ({"If-Match": '"abc"'}, ASKED, 412, "nothing here has an entity tag"),
    "kinds": ({"Accept": "application/xml, application/json;q=0"}, ASKED, 406, "the answer can be application/json"),
    "codings of answers": ({"Accept-Encoding": "br, identity;q=0"}, ASKED, 406, "coded as zstd, gzip, deflate"),
    "name": ({"X-Request-Id": "x" * 129}, ASKED, 400, "1 to 128 visible ASCII characters"),
    "tensors": (
        {"Content-Type": "application/json; charset=utf-16", "Inference-Header-Content-Length": "3"},
        ASKED,
        415,
        "has its JSON as UTF-8, not utf-16",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_done_is_refused_by_name(client, what):
    headers, body, status, why = REFUSED[what]
    answer = client.post(INFER, content=body, headers=headers)
    assert (answer.status_code, why in answer.json()["error"]) == (status, True), answer.text


@pytest.mark.parametrize("transfer", ["gzip, chunked", "identity", "chunked, gzip"])
def test_a_transfer_coding_but_chunks_is_refused(client, transfer):
    with connected(client.base_url) as connection:
        connection.sendall(
            b"POST /v2/repository/index HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: %b\r\n\r\n0\r\n\r\n"
            % transfer.encode()
        )
        assert re.match(rb"HTTP/1.1 (501|400) ", connection.recv(9999))


def test_what_is_compressed_is_read_only_from_who_may_ask(shop, tmp_path):
    key = add_key(tmp_path / "keys.json", "erp")
    with gateway(shop, limits=LIMITS, keys=tmp_path / "keys.json") as client:
        coded = {"Content-Encoding": "gzip"}
        assert client.post("/docs", content=BOMB, headers=coded).status_code == 401
        assert client.post(INFER, content=CODED["gzip"], headers={**coded, "X-Api-Key": key}).status_code == 200


def test_a_body_that_cannot_be_decoded_costs_a_keys_rate_a_row(shop, tmp_path):
    key = add_key(tmp_path / "keys.json", "erp", rows_per_s=1.0)
    headers = {"X-Api-Key": key, "Content-Encoding": "gzip"}
    with gateway(shop, limits=LIMITS, keys=tmp_path / "keys.json") as client:
        statuses = [client.post(INFER, content=BOMB, headers=headers).status_code for _ in range(6)]
    assert statuses[0] == 413
    assert statuses[-1] == 429


def test_the_index_reads_its_body_whatever_stands_beside_it(client):
    offer = {"Connection": "Upgrade", "Upgrade": "h2c"}
    for headers in ({}, offer):
        answer = client.post(INDEX, content=b'{"ready": "yes, please"}', headers=headers)
        assert answer.status_code == 400
        assert client.post(INDEX, content=b'{"ready": true}', headers=headers).status_code == 200


@pytest.mark.parametrize("headers", [{"Authorization": "Bearer a"}, {"Content-Type": "text/plain"}])
def test_a_field_of_one_value_that_is_given_two_is_refused(client, headers):
    (name, value), *_ = headers.items()
    twice = [(name, value), (name, "other")]
    assert client.post(INFER, content=ASKED, headers=twice).status_code == 400
    assert client.post(INFER, content=ASKED, headers=[(name, value), (name, value)]).status_code == 200


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/", "GET, HEAD, OPTIONS"),
        ("/healthz", "GET, HEAD, OPTIONS"),
        (INFER, "POST, OPTIONS"),
        (INDEX, "POST, OPTIONS"),
    ],
)
def test_a_path_says_which_methods_it_has(client, path, allowed):
    for method in ("OPTIONS", "DELETE", "PUT", "PATCH", "TRACE"):
        answer = client.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (200 if method == "OPTIONS" else 405, allowed)


def test_the_server_says_which_methods_it_has(client):
    with connected(client.base_url) as connection:
        connection.sendall(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"allow: GET, HEAD, POST, OPTIONS\r\n" in connection.recv(9999)


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/v2/health/ready"])
def test_probes_are_answered_without_a_key(shop, tmp_path, path):
    add_key(tmp_path / "keys.json", "erp")
    with gateway(shop, keys=tmp_path / "keys.json") as client:
        assert client.get(path).status_code == client.head(path).status_code == 200


READ = {"gzip": gzip.decompress, "deflate": zlib.decompress, "zstd": zstd.decompress, None: bytes}


@pytest.mark.parametrize(
    ("wanted", "coding"),
    [("gzip", "gzip"), ("deflate, gzip;q=0.5", "deflate"), ("br, *", "zstd"), ("br", None), ("gzip;q=0", None)],
)
def test_a_long_answer_is_compressed_as_the_client_likes_it_and_a_short_one_is_not(client, wanted, coding):
    headers = {"Accept-Encoding": wanted}
    with client.stream("GET", "/docs", headers=headers) as answer:
        assert answer.headers.get("content-encoding") == coding
        body = b"".join(answer.iter_raw())
        assert len(body) == int(answer.headers["content-length"])
    assert READ[coding](body).startswith(b"<!doctype html>")
    head = client.head("/docs", headers=headers)
    assert head.headers["content-length"] == str(len(body))
    assert "content-encoding" not in client.get("/v2", headers=headers).headers


def test_a_short_answer_is_compressed_for_who_takes_it_in_no_other_way(client):
    answer = client.get("/v2", headers={"Accept-Encoding": "gzip, identity;q=0"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.json()["name"] == "ai-factory"


@pytest.mark.parametrize(
    ("accept", "kind", "taken"),
    [
        ("*/*", "application/json", True),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", "application/json", True),
        ("application/*;q=0.3, application/json;q=0", "application/json", False),
        ("application/json;q=0, */*", "application/octet-stream", True),
        ("Application/JSON; charset=utf-8", "application/json", True),
        ("text/html", "text/html; charset=utf-8", True),
        ("text/*", "application/json", False),
        ("", "application/json", True),
        ("application/json;q=nonsense", "application/json", True),
    ],
)
def test_the_most_specific_range_of_accept_decides(accept, kind, taken):
    assert accepts(accept.encode(), kind.encode()) is taken


@given(st.binary(max_size=200), st.lists(st.sampled_from(["gzip", "deflate", "zstd", "identity"]), max_size=4))
def test_a_body_comes_out_as_it_went_in_through_any_codings(content, codings):
    body = content
    for coding in codings:
        body = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstd.compress, "identity": bytes}[coding](body)
    fields = {b"content-encoding": ", ".join(codings).encode(), b"inference-header-content-length": b"0"}
    assert decoded_body(body, fields, 1000) == content


@given(st.binary(max_size=200), st.sampled_from([b"gzip", b"deflate", b"zstd", b"gzip, zstd"]))
def test_a_damaged_body_is_refused_or_short_and_nothing_else(body, coding):
    with contextlib.suppress(RequestRefused):
        assert len(decoded_body(body, {b"content-encoding": coding}, 1000)) <= 1000


@given(st.binary(max_size=60).map(lambda text: text.replace(b"\n", b"")))
def test_every_accept_encoding_has_an_answer(text):
    assert answer_coding(text) in (b"zstd", b"gzip", b"deflate", b"identity", b"")


# Any combination of fields: all of them are done, or one that is not is refused by its status.

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SAID = {
    "Accept": {"*/*": 200, "application/json;q=0.1, text/html": 200, "text/html": 406},
    "Accept-Encoding": {"gzip": 200, "br": 200, "*;q=0": 406},
    "Content-Encoding": {"gzip": 200, "identity": 200, "br": 415, "zstd, br": 415},
    "Content-Type": {
        "application/json": 200,
        "application/json;charset=utf-8": 200,
        "text/xml": 415,
        "a/b; charset=x": 415,
    },
    "Connection": {"keep-alive": 200, "Upgrade, HTTP2-Settings": 200, "close": 200},
    "Upgrade": {"h2c": 200, "websocket": 200, "nonsense, h2c": 200},
    "Expect": {"100-continue": 200, "101-continue": 417},
    "Content-Range": {"bytes 0-1/2": 400},
    "If-Match": {"*": 412},
    "If-None-Match": {"*": 200},
    "Range": {"bytes=0-1": 200},
    "TE": {"trailers": 200},
    "Origin": {"https://app.example": 200, "https://evil.example": 200},
    "X-Request-Id": {"r-1": 200, "r 1": 400, "": 200},
    "traceparent": {PARENT: 200, "nonsense": 200},
    "X-Forwarded-For": {"203.0.113.9": 200, ", ,": 200},
}
COMBINED = st.fixed_dictionaries({}, optional={name: st.sampled_from(list(values)) for name, values in SAID.items()})


@pytest.fixture(scope="module")
def page_client(shop):
    with gateway(shop, cors_origins=("https://app.example",), trusted_proxies=("127.0.0.1",)) as made:
        yield made


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(COMBINED)
def test_in_any_combination_all_is_done_or_something_that_is_not_is_refused(page_client, fields):
    body = gzip.compress(ASKED) if fields.get("Content-Encoding") == "gzip" else ASKED
    answer = page_client.post(INFER, content=body, headers=fields)
    refusals = {SAID[name][value] for name, value in fields.items()} - {200}
    assert answer.status_code in (refusals or {200}), answer.text
    assert answer.status_code != 200 or answer.json()["id"] == "a"
    assert answer.headers.get("x-request-id") == ("r-1" if fields.get("X-Request-Id") == "r-1" else None)
    assert answer.headers.get("traceparent") == (PARENT if fields.get("traceparent") == PARENT else None)
    allowed = "https://app.example" if fields.get("Origin") == "https://app.example" else None
    assert answer.headers.get("access-control-allow-origin") == allowed


# Requests in a row, cut into any pieces: the connection itself, before a door that tells what it was given.


class Echo:
    """A door that answers with the request it got."""

    def handle(self, request: Request) -> None:
        try:
            body = decoded_body(request.body, request.headers, LIMITS.max_body_bytes)
        except RequestRefused as refused:
            self.refuse(request, refused)
        else:
            request.reply(as_json({"method": request.method, "path": request.path, "body": body.decode()}))

    def refuse(self, request: Request, refused: RequestRefused) -> None:
        request.reply(as_error(refused.status, str(refused)))

    def admit(self, headers: Mapping[bytes, bytes]) -> None:
        pass


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.sent, self.closed = b"", False

    def write(self, data):
        self.sent += data

    def can_write_eof(self):
        return True

    def write_eof(self):
        self.closed = True

    def close(self):
        self.closed = True

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass

    def get_write_buffer_size(self):
        return 0


BODY_CODINGS = {"": bytes, "gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstd.compress, "br": bytes}
OFFERS = ["", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n", "Upgrade: h2c\r\n"]
EXPECTS = {"": None, "Expect: 100-Continue\r\n": None, "Expect: more\r\n": 417}


@st.composite
def requests(draw):
    """A request as bytes, and what must come of it: a body at the door, or a status and the end."""
    text = draw(st.text(st.characters(codec="latin-1", exclude_characters="\ufeff"), max_size=40))
    charset = draw(st.sampled_from(["", "utf-8", "latin-1", "utf-16"]))
    coding, offer = draw(st.sampled_from(list(BODY_CODINGS))), draw(st.sampled_from(OFFERS))
    expect = draw(st.sampled_from(list(EXPECTS)))
    body = BODY_CODINGS[coding](text.encode(charset or "utf-8"))
    lines = [offer, expect, f"Content-Type: application/json;charset={charset}\r\n" if charset else ""]
    lines.append(f"Content-Encoding: {coding}\r\n" if coding else "")
    if draw(st.booleans()):
        lines.append("Transfer-Encoding: chunked\r\n")
        cut = draw(st.integers(0, len(body)))
        extension = draw(st.sampled_from([b"", b";a=b", b';a="b;c"']))
        trailer = draw(st.sampled_from([b"", b"Content-Encoding: gzip\r\n", b"X: y\r\n"]))
        parts = [part for part in (body[:cut], body[cut:]) if part]
        framed = b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts)
        framed += b"0\r\n%b\r\n" % trailer
    else:
        lines.append(f"Content-Length: {len(body)}\r\n")
        framed = body
    head = "".join(draw(st.permutations([line for line in lines if line])))
    status = 415 if coding == "br" else EXPECTS[expect]
    return b"POST /x%%20y HTTP/1.1\r\nHost: x\r\n%b\r\n" % head.encode() + framed, text, status


@settings(deadline=None, max_examples=300)
@given(st.lists(requests(), min_size=1, max_size=4), st.data())
def test_requests_in_a_row_are_the_same_however_they_are_cut(asked, data):
    sent = b"".join(request for request, _, _ in asked)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=12)))
    wire, connection = Wire(), Connections(Echo(), LIMITS).new()
    connection.connection_made(wire)
    for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        connection.data_received(sent[start:end])
    answers = wire.sent.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"").split(b"HTTP/1.1 ")[1:]
    refused = next((place for place, (_, _, status) in enumerate(asked) if status), None)
    expected = asked if refused is None else asked[: refused + 1]
    assert len(answers) == len(expected)
    assert wire.closed is (refused is not None)
    for answer, (_, text, status) in zip(answers, expected, strict=True):
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"%d " % (status or 200))
        if not status:
            assert json.loads(body) == {"method": "POST", "path": "/x y", "body": text}
