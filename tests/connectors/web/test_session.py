"""Calls to a service over TLS: what is repeated, what is waited for, and what each failure says."""

import json
import socket
from contextlib import contextmanager
from decimal import Decimal
from email.utils import formatdate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.connectors.web.access import Basic, Bearer, Header, NoAccess, OAuth
from factory.connectors.web.session import Patience, Reply, Service
from factory.errors import (
    AnswerLost,
    EnvironmentRefused,
    ServiceBusy,
    ServiceGarbled,
    ServiceRefused,
    ServiceUnreachable,
)
from factory.errors.masking import MASK
from tests.connectors.https import Answer, certificates, serving

NOW = 1_800_000_000.0
HASTY = Patience(connect_s=2, read_s=2, total_s=3, tries=4)


class Waits(list):
    """A clock that waiting moves."""

    def sleep(self, seconds):
        self.append(seconds)

    def now(self):
        return NOW + sum(self)


@contextmanager
def service(answers, access=None, *, tls=None, patience=HASTY, headers=None):
    """A service that gives these answers, the last for ever; our session with it; and what we waited."""
    waits, said = Waits(), iter(answers) if isinstance(answers, list) else None
    last = [Answer()]

    def answer(asked):
        if said is None:
            return answers(asked)
        last[0] = next(said, last[0])
        return last[0]

    trusted = {"certificate_authority": str(certificates().authority)}
    known = access(**trusted) if access else NoAccess(**trusted)
    with serving(answer, tls=tls) as host:
        place = f"{host.address}/api"
        with Service(
            place, known, patience=patience, sleep=waits.sleep, clock=waits.now, chance=lambda: 1.0, headers=headers
        ) as ours:
            yield ours, host, waits


def test_an_answer_comes_with_its_status_headers_and_body_over_tls():
    with service([Answer(201, b'{"a": 1}', {"X-Some": "more"})]) as (ours, host, _):
        reply = ours.call("POST", "orders", params={"$top": "1"}, json={"a": "ä"}, headers={"If-Match": "*"})
    assert (reply.status, reply.headers["x-some"], reply.json()) == (201, "more", {"a": 1})
    (asked,) = host.asked
    assert (asked.method, asked.path, asked.params) == ("POST", "/api/orders", {"$top": "1"})
    assert json.loads(asked.body) == {"a": "ä"}
    assert asked.headers["if-match"] == "*"


@given(st.integers() | st.decimals(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_exactly_whatever_its_length(number):
    reply = Reply(status=200, headers={}, body=b'{"number": %s}' % str(number).encode(), url="https://shop.example")
    assert Decimal(reply.json()["number"]) == number


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"<!DOCTYPE html><title>Log in</title>", "text/html", "a page of HTML"),
        (b"  <html>", "application/json", "a page of HTML"),
        (b'{"value": [1, 2', "application/json", "is no JSON"),
        (b"", "application/json", "is empty"),
        (b"\xff\xfe{", "application/json", "is no JSON"),
    ],
)
def test_what_is_no_json_is_told_with_its_beginning(body, kind, words):
    with service([Answer(body=body, headers={"Content-Type": kind})]) as (ours, *_):
        reply = ours.call("GET", "orders")
        with pytest.raises(ServiceGarbled, match=words) as told:
            reply.json()
    assert "/api/orders" in str(told.value)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_reading_is_repeated_while_the_service_is_busy_each_time_after_twice_as_long(status):
    with service([Answer(status), Answer(status), Answer(200, b"1")]) as (ours, host, waits):
        assert ours.call("GET").json() == 1
    assert len(host.asked) == 3
    assert waits == [0.5, 1.0]


def test_a_service_that_says_when_to_come_again_is_obeyed_in_seconds_and_by_date():
    busy = [Answer(429, headers={"Retry-After": "7"}), Answer(503, headers={"Retry-After": formatdate(NOW + 20)})]
    with service([*busy, Answer(200, b"1")]) as (ours, _, waits):
        assert ours.call("GET").json() == 1
    assert waits == [7.0, 13.0]


def test_a_service_that_wants_to_be_left_alone_for_long_is_told_busy_at_once():
    with (
        service([Answer(429, headers={"Retry-After": "3600"})]) as (ours, host, waits),
        pytest.raises(ServiceBusy, match=r"429.*3600 s") as told,
    ):
        ours.call("GET")
    assert told.value.retry_after_s == 3600
    assert (len(host.asked), waits) == (1, [])


def test_a_service_that_stays_busy_is_told_so_after_all_tries():
    with service([Answer(503, b"too many")]) as (ours, host, waits), pytest.raises(ServiceBusy, match="503: too many"):
        ours.call("GET")
    assert len(host.asked) == HASTY.tries
    assert waits == [0.5, 1.0, 2.0]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(500, b"dump"), AnswerLost),
        (Answer(503), ServiceBusy),
        (Answer(200, b"0123456789", cut=True), AnswerLost),
        (Answer(drop=True), AnswerLost),
        (Answer(400, b"no"), ServiceRefused),
    ],
)
def test_writing_is_sent_once_and_what_is_not_known_is_told_apart_from_a_no(answer, error):
    with service([answer]) as (ours, host, waits), pytest.raises(error):
        ours.call("POST", "orders", json={})
    assert (len(host.asked), waits) == (1, [])


def test_writing_that_may_be_repeated_is():
    with service([Answer(drop=True), Answer(502), Answer(201)]) as (ours, host, _):
        assert ours.call("PUT", "orders/1", json={}, repeatable=True).status == 201
    assert len(host.asked) == 3


def test_an_answer_that_is_cut_short_is_asked_for_again():
    with service([Answer(200, b'{"a": 12345678}', cut=True), Answer(200, b'{"a": 12345678}')]) as (ours, _host, _):
        assert ours.call("GET").json() == {"a": 12345678}


def test_a_slow_answer_is_told_after_the_time_that_is_allowed():
    with (
        service([Answer(slow_s=0.6)], patience=Patience(read_s=0.2, tries=1)) as (ours, *_),
        pytest.raises(AnswerLost, match="does not answer in time"),
    ):
        ours.call("GET")


def test_an_answer_without_end_is_refused():
    with (
        service([Answer(200, b"x" * 5000)], patience=Patience(most_bytes=4000)) as (ours, *_),
        pytest.raises(ServiceGarbled, match="more than 4,000 bytes"),
    ):
        ours.call("GET")


def test_nobody_there_is_told_as_unreachable_even_when_writing_for_nothing_was_sent():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    waits = Waits()
    with (
        Service(f"https://127.0.0.1:{port}", patience=HASTY, sleep=waits.sleep, chance=lambda: 1.0) as ours,
        pytest.raises(ServiceUnreachable, match=r"cannot be reached.*is it up"),
    ):
        ours.call("POST", json={})
    assert len(waits) == HASTY.tries - 1


def test_a_certificate_of_an_unknown_authority_is_refused_at_once_and_says_what_to_do():
    with (
        service([Answer()], tls=certificates("Another CA")) as (ours, host, waits),
        pytest.raises(ServiceUnreachable, match="certificate_authority"),
    ):
        ours.call("GET")
    assert (host.asked, waits) == ([], [])


def test_plain_text_on_a_port_that_should_speak_tls_is_told():
    with serving(lambda _: Answer(), plain=True) as host:
        address = host.address.replace("http:", "https:")
        with Service(address, patience=Patience(tries=1)) as ours, pytest.raises(ServiceUnreachable, match="TLS"):
            ours.call("GET")


def test_a_file_that_is_no_authority_is_told(tmp_path):
    for file in (tmp_path / "none.pem", tmp_path):
        with pytest.raises(ServiceUnreachable, match="certificate_authority"):
            Service("https://127.0.0.1", NoAccess(certificate_authority=str(file)))


def test_each_kind_of_access_says_who_we_are(monkeypatch):
    monkeypatch.setenv("KEY", "s3cret-of-mine")
    kinds = {
        "authorization": (Bearer, {"token": "env:KEY"}, "Bearer s3cret-of-mine"),
        "Authorization": (Basic, {"user": "me", "password": "env:KEY"}, "Basic bWU6czNjcmV0LW9mLW1pbmU="),
        "apikey": (Header, {"name": "APIKey", "value": "env:KEY"}, "s3cret-of-mine"),
    }
    for name, (kind, says, header) in kinds.items():
        with service([Answer()], lambda kind=kind, says=says, **more: kind(**says, **more)) as (ours, host, _):
            ours.call("GET")
        assert host.asked[0].headers[name.lower()] == header


def test_a_secret_that_is_not_set_is_asked_for_by_its_name(monkeypatch):
    monkeypatch.delenv("KEY", raising=False)
    with pytest.raises(EnvironmentRefused, match="KEY is not set"):
        Service("https://127.0.0.1", Bearer(token="env:KEY"))


def test_a_secret_is_sent_to_no_other_host_and_never_openly(monkeypatch):
    monkeypatch.setenv("KEY", "s3cret-of-mine")
    with pytest.raises(ServiceUnreachable, match="not https"):
        Service("http://shop.example", Bearer(token="env:KEY"))
    with service([Answer()]) as (ours, host, _), pytest.raises(ServiceGarbled, match=r"another host"):
        ours.call("GET", "https://elsewhere.example/next")
    assert not host.asked


def test_a_redirect_is_followed_within_the_host_and_refused_to_another():
    with service([Answer(302, headers={"Location": "/there"}), Answer(body=b"1")]) as (ours, host, _):
        assert ours.call("GET").json() == 1
        assert host.asked[1].path == "/there"
    with (
        service([Answer(302, headers={"Location": "https://login.example/"})]) as (ours, *_),
        pytest.raises(ServiceRefused, match=r"redirects to https://login.example/"),
    ):
        ours.call("GET")
    with (
        service([Answer(302, headers={"Location": "/again"})]) as (ours, *_),
        pytest.raises(ServiceRefused, match="without end"),
    ):
        ours.call("GET")


def test_a_reply_that_repeats_a_secret_is_shown_without_it(monkeypatch):
    monkeypatch.setenv("KEY", "s3cret-of-mine")
    answers = [Answer(403, b'{"message": "s3cret-of-mine may not"}')]
    with (
        service(answers, lambda **more: Bearer(token="env:KEY", **more)) as (ours, *_),
        pytest.raises(ServiceRefused, match="403") as told,
    ):
        ours.call("GET")
    assert "s3cret" not in str(told.value)
    assert MASK in str(told.value)
    assert told.value.status == 403


class Tokens:
    """A service that gives tokens for an hour, and takes each only until it is revoked."""

    def __init__(self):
        self.given, self.revoked = 0, set()

    def __call__(self, asked):
        if asked.path == "/token":
            self.asked, self.given = asked, self.given + 1
            return Answer(200, json.dumps({"access_token": f"token-number-{self.given}", "expires_in": 3600}).encode())
        token = asked.headers.get("authorization", "").removeprefix("Bearer ")
        return Answer(401 if token in self.revoked or not token else 200, b"1")


@contextmanager
def with_oauth(tokens, monkeypatch, **more):
    monkeypatch.setenv("CLIENT_SECRET", "a-secret-of-the-client")
    waits, authority = Waits(), str(certificates().authority)
    with serving(tokens) as host:
        access = OAuth(
            token_url=f"{host.address}/token",
            client_id="me",
            client_secret="env:CLIENT_SECRET",
            certificate_authority=authority,
            **more,
        )
        with Service(host.address, access, sleep=waits.sleep, clock=waits.now, patience=HASTY) as ours:
            yield ours, host, waits


def test_a_token_is_had_once_and_again_when_it_expires(monkeypatch):
    tokens = Tokens()
    with with_oauth(tokens, monkeypatch, scope="read") as (ours, _host, waits):
        ours.call("GET")
        ours.call("GET")
        assert tokens.given == 1
        assert b"grant_type=client_credentials" in tokens.asked.body
        assert b"scope=read" in tokens.asked.body
        assert tokens.asked.headers["authorization"].startswith("Basic ")
        waits.append(3600)
        ours.call("GET")
    assert tokens.given == 2


def test_a_token_that_was_revoked_is_renewed_once_and_the_call_done_once(monkeypatch):
    tokens = Tokens()
    with with_oauth(tokens, monkeypatch, client_in="body") as (ours, _host, _):
        ours.call("POST", "orders", json={})
        assert b"client_secret=a-secret-of-the-client" in tokens.asked.body
        tokens.revoked.add("token-number-1")
        assert ours.call("POST", "orders", json={}).status == 200
        assert tokens.given == 2
        tokens.revoked |= {"token-number-2", "token-number-3"}
        with pytest.raises(ServiceRefused, match="401"):
            ours.call("POST", "orders", json={})
    assert tokens.given == 3


def test_an_address_that_gives_no_tokens_is_told(monkeypatch):
    with (
        with_oauth(lambda _: Answer(200, b"{}"), monkeypatch) as (ours, *_),
        pytest.raises(ServiceGarbled, match="gives no access_token"),
    ):
        ours.call("GET")
    with (
        with_oauth(lambda _: Answer(400, b'{"error": "invalid_client"}'), monkeypatch) as (ours, *_),
        pytest.raises(ServiceRefused, match="invalid_client"),
    ):
        ours.call("GET")


@given(
    st.lists(st.sampled_from([429, 500, 502, 503, 504, "drop", "cut"]), max_size=3),
    st.floats(0, 1, exclude_max=True),
)
@settings(deadline=None, max_examples=15)
def test_whatever_fails_for_a_while_reading_gives_the_answer_and_waits_no_longer_than_it_should(faults, chance):
    bad = {"drop": Answer(drop=True), "cut": Answer(200, b'{"a": 1}', cut=True)}
    answers = [bad[fault] if isinstance(fault, str) else Answer(fault) for fault in faults]
    with service([*answers, Answer(200, b'{"a": 1}')]) as (ours, host, waits):
        ours._chance = lambda: chance
        assert ours.call("GET").json() == {"a": 1}
    assert len(host.asked) == len(faults) + 1
    assert all(wait <= 0.5 * 2**number for number, wait in enumerate(waits))
