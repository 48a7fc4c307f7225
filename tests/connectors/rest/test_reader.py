"""What a service gives page by page is read whole, exactly and once, or not at all."""

import json
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from factory.connectors.rest.reader import RestReader
from factory.connectors.tables.arguments import TableAt
from factory.connectors.tables.place import place_of
from factory.connectors.tables.reader import Narrowing
from factory.connectors.tables.source import TableSource
from factory.connectors.web.session import Patience, Service
from factory.errors import SourceError
from factory.line.line import Table
from factory.storage.columns import UNPARSED
from tests.connectors.https import Answer, certificates, serving
from tests.connectors.rest_server import PAGING, Orders

TRUSTED = {"kind": "none", "certificate_authority": str(certificates().authority)}
ARGUMENTS = TypeAdapter(TableAt)
HTML = Answer(200, b"<html>Log in</html>", {"Content-Type": "text/html"})


def hasty(address, access):
    return Service(address, access, patience=Patience(tries=4, read_s=2), sleep=lambda _: None)


@contextmanager
def table(server, path="/api/orders", **said):
    """A reader of what a server gives, and the server's address."""
    with serving(server) as host:
        at = ARGUMENTS.validate_python({"at": f"rest+{host.address}{path}", "access": TRUSTED, **said})
        yield RestReader(place_of(at.at, Path()), at, hasty), host


def rows(server, columns=None, only=None, **said):
    with table(server, **said) as (reader, _):
        schema = reader.schema()
        batches = list(reader.batches(list(schema) if columns is None else columns, only or Narrowing()))
    return pl.concat(batches, how="diagonal") if batches else pl.DataFrame()


def orders(number):
    return [{"id": one, "qty": f"{one} pieces"} for one in range(number)]


def ids(frame):
    return [int(one) for one in frame["id"]] if "id" in frame.columns else []


@pytest.mark.parametrize("by", PAGING)
def test_every_way_of_paging_gives_every_record_once_in_order(by):
    assert ids(rows(Orders(orders(10), by=by), paging=PAGING[by])) == list(range(10))


@pytest.mark.parametrize("by", ["link", "next"])
def test_the_common_ways_need_not_be_said(by):
    assert ids(rows(Orders(orders(10), by=by))) == list(range(10))


@pytest.mark.parametrize("by", ["token", "page", "offset"])
def test_an_answer_that_shows_that_it_is_not_all_is_refused_where_nothing_is_said(by):
    with pytest.raises(SourceError, match=r"there are more.*paging"):
        rows(Orders(orders(10), by=by))


FAULTS = st.sampled_from(
    [
        Answer(429, headers={"Retry-After": "1"}),
        Answer(503),
        Answer(500, b"dump"),
        Answer(drop=True),
        Answer(200, b'{"data": [{"id": 1}]}', cut=True),
    ]
)


@given(
    by=st.sampled_from(list(PAGING)),
    number=st.integers(0, 12),
    size=st.integers(1, 5),
    faults=st.lists(st.tuples(st.integers(1, 6), FAULTS), max_size=3),
    keys=st.lists(st.sampled_from(["a", "b", "c.d", "é"]), max_size=3),
)
@settings(deadline=None, max_examples=40)
def test_whatever_pages_and_faults_there_are_the_rows_are_exactly_those_of_the_service(by, number, size, faults, keys):
    records = [{"id": one, **{key: f"{key}{one}" for key in keys if (one + len(key)) % 2}} for one in range(number)]
    server = Orders(records, by=by, size=size)
    server.between = lambda page: server.faults.extend(fault for at, fault in faults if at == page)
    frame = rows(
        server, columns=["id", *dict.fromkeys(keys)], paging=PAGING[by], records="" if by == "link" else "data"
    )
    expected = [{key: str(value) for key, value in record.items()} for record in records]
    assert [{key: value for key, value in row.items() if value is not None} for row in frame.to_dicts()] == expected


def test_numbers_are_as_they_are_written_and_nested_values_are_json():
    numbers = b'"id": 9007199254740993, "a": 1.50, "b": 1e400'
    body = b'[{%s, "c": true, "d": {"x": [1.0, null]}, "e": null, "f": "\\u00e4"}]' % numbers
    frame = rows(lambda _: Answer(200, body))
    assert frame.rows(named=True) == [
        {"id": "9007199254740993", "a": "1.50", "b": "1e400", "c": "true", "d": '{"x":[1.0,null]}', "e": None, "f": "ä"}
    ]


@pytest.mark.parametrize("by", PAGING)
def test_a_page_repeated_for_ever_is_refused(by):
    with pytest.raises(SourceError, match=r"again and again|rows, and"):
        rows(Orders(orders(10), by=by, deaf=True), paging=PAGING[by])


def test_pages_with_ever_new_addresses_and_the_same_records_are_refused():
    def answer(asked):
        page = int(asked.params.get("page", 0))
        return Answer(200, json.dumps({"data": [{"id": 1}], "next": f"/api/orders?page={page + 1}"}).encode())

    with pytest.raises(SourceError, match="again and again"):
        rows(answer)


def test_empty_pages_without_end_are_refused():
    def answer(asked):
        page = int(asked.params.get("page", 0))
        return Answer(200, json.dumps({"data": [], "next": f"/api/orders?page={page + 1}"}).encode())

    with pytest.raises(SourceError, match=r"pages in a row are empty"):
        rows(answer)


@pytest.mark.parametrize("by", ["page", "offset"])
def test_a_table_that_changes_while_it_is_read_is_read_once_more(by):
    server = Orders(orders(10), by=by)
    server.between = lambda page: server.records.pop(0) if page == 3 else None  # the schema is page 1
    assert ids(rows(server, paging=PAGING[by])) == list(range(1, 10))


def test_a_table_that_changes_each_time_it_is_read_gives_no_rows():
    server = Orders(orders(30), by="offset")
    server.between = lambda page: server.records.pop(0) if page % 3 == 0 else None
    with pytest.raises(SourceError, match=r"changes while it is read; nothing was written"):
        rows(server, paging=PAGING["offset"])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (HTML, "a page of HTML"),
        (Answer(200, b""), "is empty"),
        (Answer(200, b'{"data": [{"id"'), "is no JSON"),
        (Answer(200, b'{"error": "no such table"}'), "has none, or many.*'error'"),
        (Answer(200, b'{"a": [{"id": 1}], "b": [{"id": 2}]}'), "has none, or many"),
        (Answer(404), "404.*is the address right"),
        (Answer(401), "401"),
        (Answer(302, headers={"Location": "https://login.example"}), "redirects to https://login.example"),
    ],
)
def test_what_is_no_table_is_a_source_error_that_says_what_came(answer, words):
    with pytest.raises(SourceError, match=words):
        rows(lambda _: answer)


def test_html_in_the_middle_is_refused():
    server = Orders(orders(10))
    server.between = lambda page: server.faults.append(HTML) if page == 2 else None
    with pytest.raises(SourceError, match="a page of HTML"):
        rows(server)


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"data": []}', b'{"data": null}'])
def test_an_empty_answer_is_no_rows(body):
    records = "data" if b"data" in body else ""
    assert rows(lambda _: Answer(200, body), records=records).is_empty()


def test_no_content_is_no_rows():
    assert rows(lambda _: Answer(204)).is_empty()


def test_a_column_that_comes_late_is_there_and_one_of_the_first_page_stays():
    records = [{"id": 1, "old": "x"}, {"id": 2}, {"id": 3, "new": "y"}]
    frame = rows(Orders(records, size=1))
    assert frame.rows(named=True) == [
        {"id": "1", "old": "x", "new": None},
        {"id": "2", "old": None, "new": None},
        {"id": "3", "old": None, "new": "y"},
    ]


def test_a_record_that_is_no_object_is_kept_as_its_text():
    assert rows(lambda _: Answer(200, b'[{"id": 1}, 7]'))[UNPARSED].to_list() == [None, "7"]


def test_parameters_go_with_each_page_and_moments_only_where_they_are_known():
    server = Orders(orders(10), by="token")
    said = {"query": {"state": "open", "since": "{after}"}, "paging": PAGING["token"]}
    with table(server, "/api/orders?plant=Ulm", **said) as (reader, host):
        reader.schema()
        after = datetime(2026, 3, 1, 12, tzinfo=UTC)
        list(reader.batches(["id"], Narrowing(moment="changed", after=after)))
    first, *others = [asked.params for asked in host.asked]
    assert first == {"plant": "Ulm", "state": "open"}
    assert all(params["since"] == "2026-03-01T12:00:00Z" and params["plant"] == "Ulm" for params in others)


def test_a_secret_comes_from_the_environment_and_a_wrong_one_is_told(monkeypatch):
    monkeypatch.setenv("ORDERS_TOKEN", "the-right-one")
    access = {"kind": "bearer", "token": "env:ORDERS_TOKEN", "certificate_authority": TRUSTED["certificate_authority"]}
    assert ids(rows(Orders(orders(4), token="the-right-one"), access=access)) == [0, 1, 2, 3]
    monkeypatch.setenv("ORDERS_TOKEN", "another-one")
    with pytest.raises(SourceError, match="401"):
        rows(Orders(orders(4), token="the-right-one"), access=access)
    monkeypatch.delenv("ORDERS_TOKEN")
    with pytest.raises(SourceError, match="ORDERS_TOKEN is not set"):
        rows(Orders(orders(4)), access=access)


def test_a_user_in_an_address_of_the_environment_is_sent_and_one_in_the_file_refused(monkeypatch):
    with serving(Orders(orders(2))) as host:
        address = f"rest+{host.address}/api".replace("://", "://me:s3cret-word@")
        monkeypatch.setenv("ORDERS_URL", address)
        at = ARGUMENTS.validate_python({"at": "env:ORDERS_URL", "access": TRUSTED})
        assert list(RestReader(place_of(at.at, Path()), at, hasty).schema()) == ["id", "qty"]
        assert host.asked[0].headers["authorization"].startswith("Basic ")
    with pytest.raises(SourceError, match="has a secret in it") as told:
        place_of(address, Path())
    assert "s3cret" not in str(told.value)


def test_a_new_column_reaches_the_line_and_one_left_out_does_not():
    records = [
        {"id": 1, "plant": "Ulm", "at": "2026-01-01T00:00:00Z"},
        {"id": 2, "plant": "Ulm", "at": "2026-01-02T00:00:00Z", "new": "n", "secret": "s"},
    ]
    columns = {"id": "Int64", "plant": "String", "at": "Datetime[us, UTC]"}
    orders_of_line = Table(
        name="orders",
        columns=columns,
        key=("id",),
        cursor="at",
        site_column="plant",
        contract=(),
        repair=lambda rows: rows,
    )
    with serving(Orders(records, size=1)) as host:
        said = {"at": f"rest+{host.address}/orders", "access": TRUSTED, "leave_out": ["secret"]}
        source = TableSource({"orders": said})
        until = datetime(2026, 2, 1, tzinfo=UTC)
        assert source.sites(orders_of_line, until) == ["Ulm"]
        (frame,) = source.read(orders_of_line, site="Ulm", after=None, until=until)
    assert frame.rows(named=True) == [
        {"id": "1", "plant": "Ulm", "at": "2026-01-01T00:00:00Z", "new": None},
        {"id": "2", "plant": "Ulm", "at": "2026-01-02T00:00:00Z", "new": "n"},
    ]


def test_a_secret_parameter_comes_from_the_environment_and_is_shown_nowhere(monkeypatch, caplog):
    monkeypatch.setenv("API_KEY", "word-of-mine-0815")
    caplog.set_level("DEBUG")
    with table(lambda _: Answer(403, b"word-of-mine-0815 may not"), query={"api_key": "env:API_KEY"}) as (reader, host):
        with pytest.raises(SourceError, match="403") as told:
            reader.schema()
        assert host.asked[0].params["api_key"] == "word-of-mine-0815"
    assert "word-of-mine" not in str(told.value) + caplog.text
    with pytest.raises(ValidationError, match="is a secret by its name"):
        ARGUMENTS.validate_python({"at": "rest+https://shop.example", "query": {"api_key": "word-of-mine"}})


def test_a_service_that_is_asked_for_rows_since_a_moment_is_not_read_whole():
    with table(Orders(orders(3)), query={"since": "{after}"}) as (reader, _):
        assert (reader.state("at"), reader.state("")) == (None, "")
    with table(Orders(orders(3))) as (reader, _):
        assert reader.state("at") == ""


def test_a_token_that_expires_between_pages_is_renewed_and_no_page_is_lost(monkeypatch):
    monkeypatch.setenv("CLIENT_SECRET", "a-secret-of-the-client")
    server, given = Orders(orders(10), size=2), []

    def answer(asked):
        if asked.path == "/token":
            given.append(f"token-number-{len(given)}")
            server.token = given[-1]
            return Answer(200, json.dumps({"access_token": given[-1], "expires_in": 3600}).encode())
        if server.pages and server.pages % 3 == 0:
            server.token = f"another-{server.pages}"
            server.pages += 1
        return server(asked)

    with serving(answer) as host:
        access = {**TRUSTED, "kind": "oauth", "token_url": f"{host.address}/token", "client_id": "me"}
        said = {"at": f"rest+{host.address}/orders", "access": {**access, "client_secret": "env:CLIENT_SECRET"}}
        at = ARGUMENTS.validate_python(said)
        reader = RestReader(place_of(at.at, Path()), at, hasty)
        reader.schema()
        (frame,) = reader.batches(["id"], Narrowing())
    assert ids(frame) == list(range(10))
    assert len(given) > 2


@pytest.mark.parametrize(
    "link", ["https://elsewhere.example/orders?page=2", "//elsewhere.example/x", "ftp://elsewhere/x"]
)
def test_a_next_page_at_another_host_is_refused(link):
    with pytest.raises(SourceError, match="another host"):
        rows(lambda _: Answer(200, json.dumps({"data": [{"id": 1}], "next": link}).encode()))


def test_a_next_page_at_the_same_host_by_another_scheme_and_port_is_asked_for_at_ours():
    def answer(asked):
        more = "http://127.0.0.1:8080/api/orders?page=2" if not asked.params else None
        return Answer(200, json.dumps({"data": [{"id": 2 if asked.params else 1}], "next": more}).encode())

    assert ids(rows(answer)) == [1, 2]


def test_two_pages_that_name_each_other_are_refused():
    def answer(asked):
        other = {"a": "b", "b": "a"}.get(asked.params.get("page", "a"))
        return Answer(200, json.dumps({"data": [{"id": other}], "next": f"/api/orders?page={other}"}).encode())

    with pytest.raises(SourceError, match="asked for before"):
        rows(answer)


def test_a_certificate_of_another_authority_is_a_source_error():
    with serving(Orders(orders(1)), tls=certificates("Another CA")) as host:
        at = ARGUMENTS.validate_python({"at": f"rest+{host.address}/orders", "access": TRUSTED})
        with pytest.raises(SourceError, match=r"not one to trust.*certificate_authority"):
            RestReader(place_of(at.at, Path()), at, hasty).schema()


def test_a_way_of_paging_that_rest_does_not_have_is_refused():
    with pytest.raises(SourceError, match=r"no pages by 'keyset'; it has auto, link"):
        rows(Orders(orders(1)), paging={"by": "keyset"})
