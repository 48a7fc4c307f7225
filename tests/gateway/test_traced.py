"""A request's names come back with its answer, and stand in the records and in the log."""

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.gateway.http.trace import NO_TRACE, trace_of
from factory.gateway.logs import about, set_up
from factory.monitoring.prediction_log.files import RequestNames
from tests.gateway.builders import Shop, gateway, onnx_model, question
from tests.gateway.test_records import batches

INFER, PREDICT = "/v2/models/toy.UA/infer", "/v1/lines/toy/sites/UA/predict"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
NAMED = {"X-Request-Id": "r-1", "traceparent": PARENT, "tracestate": "a=b"}
FEATURES = {"rows": [{"f0": 1, "f1": None, "f2": 2}]}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    shop = Shop(tmp_path_factory.mktemp("home"))
    shop.release(onnx_model(), version=3)
    return shop


def test_an_answer_and_its_record_have_the_names_of_the_request(shop, tmp_path):
    with gateway(shop, records=tmp_path / "records") as client:
        answers = [
            client.post(INFER, json={**question([[1, 2, 3]]), "id": "order 7"}, headers=NAMED),
            client.post(PREDICT, json=FEATURES, headers=NAMED),
            client.post(INFER, json={**question([[1, 2, 3]]), "id": "x" * 300}),
            client.post(PREDICT, json=FEATURES),
            client.post("/v2/models/toy.ZZ/infer", headers=NAMED),
            client.post(INFER, content=b"{}", headers={**NAMED, "Expect": "more"}),
        ]
    named = [(answer.headers.get("x-request-id"), answer.headers.get("traceparent")) for answer in answers]
    assert named == [("r-1", PARENT)] * 2 + [(None, None)] * 2 + [("r-1", PARENT)] * 2
    traced = ("r-1", PARENT, "a=b")
    assert [names for batch in batches(tmp_path / "records") for names in batch.names or [RequestNames()]] == [
        RequestNames("order 7", *traced), RequestNames("", *traced), RequestNames("x" * 256), RequestNames()
    ]  # fmt: skip


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "ff" + PARENT[2:],
        PARENT + "-more",
        PARENT.upper(),
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"{PARENT}, {PARENT}",
    ],
)
def test_a_parent_that_is_none_breaks_no_request_and_is_none(shop, parent):
    assert trace_of({b"traceparent": parent.encode(), b"tracestate": b"a=b"}) == NO_TRACE
    with gateway(shop) as client:
        answer = client.post(INFER, json=question([[1, 2, 3]]), headers={"traceparent": parent})
        assert answer.status_code == 200
        assert "traceparent" not in answer.headers


def test_a_parent_of_a_later_version_is_understood_as_far_as_it_is_known():
    assert trace_of({b"traceparent": b"01" + PARENT[2:].encode() + b"-more"}).trace_id == TRACE_ID


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_whatever_a_client_sends_is_a_trace_or_none(parent, state):
    assert len(trace_of({b"traceparent": parent, b"tracestate": state}).trace_id) in (0, 32)


@pytest.fixture
def logged(capsys):
    """What the log of a set-up process says of some lines."""

    def written(*, as_json, worker=None):
        root = logging.getLogger()
        before = root.handlers[:]
        root.handlers.clear()
        try:
            set_up(as_json=as_json, worker=worker)
            trace = trace_of({b"x-request-id": b"r-1", b"traceparent": PARENT.encode()})
            try:
                raise ValueError("of \n no use")
            except ValueError:
                logging.getLogger("factory.x").exception("%s failed", "it", extra=about(trace, status=500))
            logging.getLogger("factory.x").warning("all\nis well")
        finally:
            root.handlers[:] = before
        return capsys.readouterr().err

    return written


def test_a_line_for_people_ends_with_the_names_of_its_request(logged):
    first, *_, last = logged(as_json=False, worker=2).splitlines()
    assert first.endswith(f"ERROR worker 2, factory.x: it failed [request r-1, trace {TRACE_ID}]")
    assert last == "is well"


def test_a_line_for_programs_is_one_object(logged):
    first, second = map(json.loads, logged(as_json=True, worker=2).splitlines())
    assert first.pop("error").endswith("ValueError: of \n no use")
    assert first.pop("time") <= second.pop("time")
    same = {"logger": "factory.x", "worker": 2}
    assert first == {
        **same, "level": "ERROR", "message": "it failed", "status": 500, "request_id": "r-1", "trace_id": TRACE_ID
    }  # fmt: skip
    assert second == {**same, "level": "WARNING", "message": "all\nis well"}


def test_the_access_log_has_a_line_for_each_request_with_its_client(shop, caplog):
    caplog.set_level(logging.INFO, "factory.gateway.logs.access")
    with gateway(shop, access_log=True, trusted_proxies=("127.0.0.0/8",)) as client:
        client.post(INFER, json=question([[1, 2, 3]]), headers={**NAMED, "X-Forwarded-For": "203.0.113.9"})
        client.get("/no%0Awhere", headers={"X-Request-Id": ""})
        client.post(INFER, content=b"{}", headers={"Expect": "more"})
        client.get("/metrics")
    said = [record.about for record in caplog.records if record.name == "factory.gateway.logs.access"]
    assert [(one["method"], one["path"], one["status"], one["client"]) for one in said] == [
        ("POST", INFER, 200, "203.0.113.9"),
        ("GET", "/no\nwhere", 404, "127.0.0.1"),
        ("POST", INFER, 417, "127.0.0.1"),
        ("GET", "/metrics", 200, "127.0.0.1"),
    ]
    assert "GET '/no\\nwhere' 404" in caplog.text
    assert (said[0]["request_id"], said[0]["trace_id"], "request_id" in said[1]) == ("r-1", TRACE_ID, False)
