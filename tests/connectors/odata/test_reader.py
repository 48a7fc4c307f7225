"""Entity sets of V2 and V4 are read whole, exactly and once, whatever pages, orders and faults the service makes."""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from urllib.parse import unquote

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from factory.connectors.odata.reader import ODataReader
from factory.connectors.tables.arguments import TableAt
from factory.connectors.tables.place import place_of
from factory.connectors.tables.reader import Narrowing
from factory.connectors.tables.source import TableSource
from factory.connectors.web.session import Patience, Service
from factory.errors import SourceError
from factory.line.line import Table
from tests.connectors.https import Answer, certificates, serving
from tests.connectors.odata_v2_server import ROOT, Entities, Field, V2Service
from tests.connectors.odata_v4_server import v4_service

TRUSTED = {"kind": "none", "certificate_authority": str(certificates().authority)}
ARGUMENTS = TypeAdapter(TableAt)
FIELDS = {
    "Plant": Field("Edm.String", {"MaxLength": "4"}),
    "Number": Field("Edm.Int64"),
    "Price": Field("Edm.Decimal", {"Precision": "15", "Scale": "3"}),
    "ChangedAt": Field("Edm.DateTimeOffset"),
    "Day": Field("Edm.DateTime"),
    "Text": Field("Edm.String"),
    "Done": Field("Edm.Boolean"),
}
KINDS_V4 = {
    "Plant": {"type": "Edm.String", "nullable": False, "max_length": 4},
    "Number": {"type": "Edm.Int64", "nullable": False},
    "Price": {"type": "Edm.Decimal", "precision": 15, "scale": 3},
    "ChangedAt": {"type": "Edm.DateTimeOffset", "precision": 6},
    "Text": {"type": "Edm.String"},
}


def order(number, plant="1000", **more):
    moment = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=number % 1000)
    return {
        "Plant": plant,
        "Number": number,
        "Price": Decimal("1.500"),
        "ChangedAt": moment,
        "Day": datetime(2026, 3, 1),
        "Text": f"it's {number}",
        "Done": bool(number % 2),
        **more,
    }


def v2(rows, **more):
    return V2Service({"Orders": Entities(FIELDS, ("Plant", "Number"), list(rows))}, **more)


def v4(rows, page_size=None):
    known = [{name: row[name] for name in KINDS_V4} for row in rows]
    return v4_service("Orders", KINDS_V4, ["Plant", "Number"], known, page_size)


def hasty(address, access):
    return Service(address, access, patience=Patience(tries=4, read_s=2), sleep=lambda _: None)


@contextmanager
def table(service, path=ROOT, name="Orders", **said):
    with serving(service) as host:
        at = ARGUMENTS.validate_python({"at": f"odata+{host.address}{path}::{name}", "access": TRUSTED, **said})
        yield ODataReader(place_of(at.at, Path()), at, hasty), host


def rows(service, columns=None, only=None, **said):
    with table(service, **said) as (reader, _):
        columns = list(reader.schema()) if columns is None else columns
        batches = list(reader.batches(columns, only or Narrowing()))
    return pl.concat(batches, how="diagonal") if batches else pl.DataFrame(schema=dict.fromkeys(columns, pl.String()))


def keys(frame):
    return sorted((plant, int(number)) for plant, number in frame.select("Plant", "Number").iter_rows())


def test_values_of_v2_are_exact_texts_and_its_moments_iso():
    moment = datetime(2026, 3, 1, 12, 30, 0, 123000, tzinfo=timezone(timedelta(hours=1)))
    frame = rows(v2([order(9007199254740993, ChangedAt=moment, Text=None)]))
    assert frame.rows(named=True) == [
        {
            "Plant": "1000",
            "Number": "9007199254740993",
            "Price": "1.500",
            "ChangedAt": "2026-03-01T12:30:00.123+01:00",
            "Day": "2026-03-01T00:00:00",
            "Text": None,
            "Done": "true",
        }
    ]


def test_values_of_v4_are_exact_texts():
    moment = datetime(2026, 3, 1, 12, 30, 0, 123456, tzinfo=UTC)
    frame = rows(v4([order(9007199254740993, ChangedAt=moment, Text=None)]), path="/odata")
    (row,) = frame.rows(named=True)
    assert row["Number"] == "9007199254740993"
    assert Decimal(row["Price"]) == Decimal("1.500")
    assert datetime.fromisoformat(row["ChangedAt"]) == moment
    assert row["Text"] is None


FAULTS = st.sampled_from(
    [Answer(429), Answer(503), Answer(500), Answer(drop=True), Answer(200, b'{"d": {}}', cut=True)]
)
NUMBERS = st.lists(st.tuples(st.sampled_from(["1000", "10'0", "Ulm"]), st.integers(-3, 12)), unique=True, max_size=14)


@given(
    numbers=NUMBERS,
    page_size=st.integers(0, 5),
    size=st.integers(1, 6),
    by=st.sampled_from(["auto", "link", "offset", "keyset"]),
    counts=st.booleans(),
    refused=st.sampled_from(["", " gt ", " or "]),
    faults=st.lists(st.tuples(st.integers(1, 12), FAULTS), max_size=3),
)
@settings(deadline=None, max_examples=50)
def test_whatever_pages_and_faults_v2_makes_the_rows_are_exactly_those_it_has(
    numbers, page_size, size, by, counts, refused, faults
):
    waiting = list(faults)
    asked = []

    def before(_):
        asked.append(1)
        due = [fault for fault in waiting if fault[0] == len(asked)]
        waiting[:] = [fault for fault in waiting if fault not in due]
        return due[0][1] if due else None

    service = v2((order(number, plant) for plant, number in numbers), page_size=page_size, counts=counts, before=before)
    service.refuses_filter = lambda text: by == "auto" and bool(refused) and refused in text
    frame = rows(service, paging={"by": by, "size": size})
    assert keys(frame) == sorted(numbers)
    assert frame.height == len(numbers)


@given(numbers=NUMBERS, page_size=st.sampled_from([None, 1, 3]), size=st.integers(1, 6))
@settings(deadline=None, max_examples=15)
def test_whatever_pages_v4_makes_the_rows_are_exactly_those_it_has(numbers, page_size, size):
    service = v4([order(number, plant) for plant, number in numbers], page_size)
    for by in ("keyset", "link"):
        assert keys(rows(service, path="/odata", paging={"by": by, "size": size})) == sorted(numbers)


@given(
    after=st.integers(0, 12), until=st.integers(0, 12), plants=st.lists(st.sampled_from(["1000", "10'0"]), unique=True)
)
@settings(deadline=None, max_examples=25)
def test_the_service_narrows_to_wanted_rows_and_holds_none_of_them_back(after, until, plants):
    first = datetime(2026, 3, 1, tzinfo=UTC)
    said = [order(number, plant) for number in range(12) for plant in ("1000", "10'0", "Ulm")]
    said.append(order(77, "1000", ChangedAt=None))
    only = Narrowing(
        column="Plant" if plants else "",
        values=plants,
        moment="ChangedAt",
        after=first + timedelta(hours=after),
        until=first + timedelta(hours=until),
    )
    wanted = sorted(
        (one["Plant"], one["Number"])
        for one in said
        if (not plants or one["Plant"] in plants) and (one["ChangedAt"] is None or after <= one["Number"] < until)
    )
    assert keys(rows(v2(said), only=only)) == wanted
    in_v4 = [one for one in said if one["ChangedAt"]]
    expected = [one for one in wanted if one[1] != 77]
    assert keys(rows(v4(in_v4), path="/odata", only=only)) == expected


def test_a_row_that_is_there_all_the_time_is_read_once_while_others_come_and_go():
    service = v2([order(number) for number in range(20)])
    pages = []

    def before(asked):
        if "$top" in asked.params:
            pages.append(1)
            if len(pages) == 3:
                service.sets["Orders"].rows.pop(0)  # before what is read next: nothing may shift
                service.sets["Orders"].rows.append(order(99))

    service.before = before
    came = keys(rows(service, paging={"size": 4}))
    assert {("1000", number) for number in range(1, 20)} <= set(came)
    assert len(came) == len(set(came))


@pytest.mark.parametrize("by", ["offset", "link"])
def test_a_set_whose_pages_shift_while_it_is_read_is_read_once_more(by):
    service = v2([order(number) for number in range(20)], page_size=4)
    pages = []

    def before(asked):
        pages.extend([1] * ("$select" in asked.params))
        if len(pages) == 3:
            pages.append(1)
            service.sets["Orders"].rows.pop(0)

    service.before = before
    assert keys(rows(service, paging={"by": by, "size": 4})) == [("1000", number) for number in range(1, 20)]


def test_a_set_that_changes_with_every_reading_gives_no_rows():
    service = v2([order(number) for number in range(40)], page_size=4)
    service.before = lambda asked: service.sets["Orders"].rows.pop(0) and None if "$skiptoken" in asked.params else None
    with pytest.raises(SourceError, match=r"changes while it is read.*nothing was written"):
        rows(service, paging={"by": "link"})


def test_a_service_that_gives_its_first_page_for_ever_is_refused():
    service = v2([order(number) for number in range(20)], page_size=4)
    document = b'{"d": {"results": [{"Plant": "1", "Number": "1"}], "__next": "http://127.0.0.1/x?$skiptoken=1"}}'
    service.before = lambda asked: (
        Answer(200, document) if "$select" in asked.params or "skiptoken" in asked.query else None
    )
    for by in ("keyset", "link", "auto"):
        with pytest.raises(SourceError, match=r"again and again|changes while it is read"):
            rows(service, paging={"by": by})


def test_a_service_that_leaves_rows_out_is_refused():
    service = v2([order(number) for number in range(20)])
    service.before = lambda asked: Answer(200, b"21") if asked.path.endswith("$count") else None
    with pytest.raises(SourceError, match="counts 21 rows, and 20 came"):
        rows(service)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(200, b"<html>Log in</html>", {"Content-Type": "text/html"}), "is no description of an OData service"),
        (Answer(200, b'<!DOCTYPE x [<!ENTITY a "b">]><x/>'), "declares a document type"),
        (Answer(200, b""), "is no description"),
        (Answer(401), "401"),
    ],
)
def test_what_is_no_service_is_told(answer, words):
    with pytest.raises(SourceError, match=words):
        rows(lambda _: answer)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b"<html>", {"Content-Type": "text/html"}),
        Answer(200, b""),
        Answer(200, b'{"d": 1}'),
        Answer(200, b'{"d":'),
    ],
)
def test_an_answer_that_is_no_page_of_entities_is_told(answer):
    service = v2([order(1)], before=lambda asked: answer if "$select" in asked.params else None)
    with pytest.raises(SourceError, match=r"HTML|no list of entities|no JSON|is empty"):
        rows(service)


def test_a_set_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(SourceError, match=r"no entity set 'Order'; it has Orders"):
        rows(v2([]), name="Order")


def test_an_empty_set_is_no_rows():
    assert rows(v2([])).is_empty()


def test_client_and_language_go_with_every_call_next_links_too():
    service = v2([order(number) for number in range(10)], page_size=3, client="100")
    said = {
        "query": {"sap-client": "100", "sap-language": "EN", "$filter": "Plant eq '1000'"},
        "paging": {"by": "link"},
    }
    with table(service, **said) as (reader, host):
        assert sum(map(len, reader.batches(["Text"], Narrowing()))) == 10
        assert all(asked.params["sap-client"] == "100" and asked.params["sap-language"] == "EN" for asked in host.asked)
        assert any("skiptoken" in asked.query for asked in host.asked)


def test_a_table_without_sites_is_asked_for_its_newest_its_counts_and_what_lies_ahead():
    service = v2([order(number) for number in range(10)] + [order(20, ChangedAt=None)])
    moment = datetime(2026, 3, 1, 4, tzinfo=UTC)
    with table(service) as (reader, host):
        assert reader.newest("", "ChangedAt", moment).rows() == [(None, "2026-03-01T03:00:00Z")]
        assert reader.newest("", "", moment).rows() == [(None, 11)]
        assert reader.counts("", "ChangedAt", moment).rows() == [(None, 5)]
        assert reader.beyond("", "ChangedAt", moment).select("rows", "latest").rows() == [(6, "2026-03-01T09:00:00Z")]
        assert reader.newest("Plant", "ChangedAt", moment) is None
        assert len(host.asked) == 10


def test_a_property_that_sap_cannot_filter_or_sort_is_not_asked_for_so():
    fields = {**FIELDS, "ChangedAt": Field("Edm.DateTimeOffset", notes={"filterable": "false"})}
    service = V2Service({"Orders": Entities(fields, ("Plant", "Number"), [order(1), order(2)])})
    only = Narrowing(moment="ChangedAt", until=datetime(2026, 1, 1, tzinfo=UTC))
    with table(service) as (reader, host):
        assert sum(map(len, reader.batches(["Number"], only))) == 2
        assert not any("ChangedAt" in asked.params.get("$filter", "") for asked in host.asked)


def test_a_source_in_a_line_lacks_nothing_while_the_service_is_there():
    with serving(v2([order(1)])) as host:
        said = {"at": f"odata+{host.address}{ROOT}::Orders", "access": TRUSTED}
        assert TableSource({"orders": said}).lacking() == []
        missing = TableSource({"orders": {**said, "at": f"odata+{host.address}{ROOT}::None"}}).lacking()
    assert "no entity set" in missing[0]


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ("odata+https://host/service", "an entity set .*is written as"),
        ("rest+https://host/api::orders", "is one table"),
        ("odata+https://me:word-of-mine@host/service::Orders", "has a secret in it"),
    ],
)
def test_a_place_that_names_no_table_or_shows_a_secret_is_refused(at, words):
    with pytest.raises(SourceError, match=words) as told:
        place_of(at, Path())
    assert "word-of-mine" not in str(told.value)


def test_an_address_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("SAP_URL", "odata+https://me:word-of-mine@host/service")
    place = place_of("env:SAP_URL::Orders", Path())
    assert (place.kind, place.table, place.name) == ("odata", "Orders", "Orders")


def test_a_set_whose_cursor_can_be_filtered_by_is_not_read_whole():
    with table(v2([order(1)])) as (reader, _):
        assert [reader.state(name) for name in ("ChangedAt", "Number", "Text", "")] == [None, None, "", ""]


def test_an_increment_brings_what_came_since_and_no_more():
    first = [order(number) for number in range(6)]
    service = v2(first)
    columns = {"Plant": "String", "Number": "Int64", "ChangedAt": "Datetime[us, UTC]"}
    orders_of_line = Table(
        name="orders",
        columns=columns,
        key=("Plant", "Number"),
        cursor="ChangedAt",
        site_column="Plant",
        contract=(),
        repair=lambda rows: rows,
    )
    until = datetime(2026, 4, 1, tzinfo=UTC)
    with serving(service) as host:
        source = TableSource({"orders": {"at": f"odata+{host.address}{ROOT}::Orders", "access": TRUSTED}})
        assert source.version(orders_of_line) is None
        assert source.newest(orders_of_line, until) == {"1000": first[-1]["ChangedAt"]}
        service.sets["Orders"].rows.append(order(8))
        after = first[-1]["ChangedAt"]
        (frame,) = source.read(orders_of_line, site="1000", after=after, until=until)
        assert keys(frame) == [("1000", 5), ("1000", 8)]  # from the newest on: that one is known by its key
        asked = [unquote(one.query) for one in host.asked if "ChangedAt ge" in unquote(one.query)]
        assert asked
        assert all("Plant eq '1000'" in one for one in asked)


@pytest.mark.parametrize("counts", [True, False])
def test_a_service_that_heeds_neither_filter_nor_top_is_read_by_its_links(counts):
    service = v2([order(number) for number in range(20)], counts=counts)
    listed = service._listed

    def deaf(name, entities, params):
        heeded = {key: text for key, text in params.items() if key in ("$select", "$skiptoken")}
        return listed(name, entities, heeded)

    service._listed, service.refuses_filter = deaf, lambda _: False
    service.page_size = 6
    assert keys(rows(service, paging={"size": 4})) == [("1000", number) for number in range(20)]


def test_a_way_of_paging_that_odata_does_not_have_is_refused():
    with pytest.raises(SourceError, match=r"no pages by 'page'; it has auto, keyset"):
        rows(v2([order(1)]), paging={"by": "page"})
