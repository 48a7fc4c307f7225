"""An object of Salesforce as a table: every record once, the same by either door, whatever goes wrong."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.connectors.salesforce import soql
from factory.connectors.salesforce.jobs import Looks
from factory.connectors.salesforce.objects import Field
from factory.connectors.salesforce.reader import SalesforceReader
from factory.connectors.tables.place import Place
from factory.connectors.tables.reader import Narrowing
from factory.connectors.web.session import Patience
from factory.errors import SourceError
from tests.connectors.salesforce.conftest import START, add_orders
from tests.connectors.salesforce.soql import parse

COLUMNS = [
    "Number__c",
    "Plant__c",
    "Amount__c",
    "Pieces__c",
    "Open__c",
    "Due__c",
    "Day__c",
    "Note__c",
    "SystemModstamp",
]
SOQL, BULK = 10**9, 0


def reader(salesforce, access, *, table="Order__c", declared=(), few_rows=SOQL, tries=3):
    return SalesforceReader(
        Place(kind="salesforce", at=salesforce.address, table=table),
        access,
        declared,
        few_rows=few_rows,
        looks=Looks(sleep=lambda s: None, first_s=1, total_s=100),
        patience=Patience(tries=tries, read_s=2),
        sleep=lambda s: None,
    )


def rows_of(one, columns=COLUMNS, only=None, row_number=""):
    return pl.concat(list(one.batches(columns, only or Narrowing(), row_number)))


@pytest.mark.parametrize("few_rows", [SOQL, BULK])
def test_every_record_comes_once_and_typed(salesforce, access, few_rows):
    add_orders(salesforce, 25, Note__c='two\nlines, "quoted"')
    salesforce.batch_rows = 10
    rows = rows_of(reader(salesforce, access, few_rows=few_rows)).sort("Pieces__c")
    assert rows["Number__c"].to_list() == [f"A-{n}" for n in range(25)]
    assert rows.row(3, named=True) == {
        "Number__c": "A-3",
        "Plant__c": "Ulm",
        "Amount__c": "3.5",
        "Pieces__c": 3,
        "Open__c": True,
        "Due__c": datetime(2026, 4, 1, 6, 30, tzinfo=UTC),
        "Day__c": date(2026, 4, 1),
        "Note__c": 'two\nlines, "quoted"',
        "SystemModstamp": START + timedelta(minutes=4),
    }
    schema = reader(salesforce, access).schema()
    assert {name: schema[name] for name in COLUMNS} == dict(rows.schema)
    assert "Address__c" not in schema


NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**12), max_value=10**12)


def test_a_value_is_the_same_by_either_door(salesforce, access):
    values = [None, "007", " x", "a,b", 'say "no"', "", "null", "#N/A", "Zürich\t\n"]
    for number, value in enumerate(values):
        amount = [Decimal("1E+7"), Decimal("0.10"), Decimal("12345678901234567.89"), Decimal("-0.50"), None][number % 5]
        add_orders(salesforce, 1, Number__c=f"B-{number}", Town__c=value or None, Amount__c=amount, Day__c=None)
    columns = ["Number__c", "Town__c", "Amount__c", "Day__c", "Due__c"]
    by_soql = rows_of(reader(salesforce, access), columns)
    assert by_soql.equals(rows_of(reader(salesforce, access, few_rows=BULK), columns))
    assert by_soql["Amount__c"].to_list()[:5] == ["10000000", "0.1", "12345678901234567.89", "-0.5", None]


@pytest.mark.parametrize("few_rows", [SOQL, BULK])
@pytest.mark.parametrize("nothing", [True, False])
def test_only_what_is_asked_for_is_sent(salesforce, access, few_rows, nothing):
    add_orders(salesforce, 20)
    after = START + (timedelta(days=9) if nothing else timedelta(minutes=11))
    only = Narrowing(
        column="Plant__c", values=["Ulm"], moment="SystemModstamp", after=after, until=after + timedelta(days=1)
    )
    rows = pl.concat(
        [
            pl.DataFrame(schema={"Number__c": pl.String}),
            *reader(salesforce, access, few_rows=few_rows).batches(["Number__c"], only),
        ]
    )
    assert rows["Number__c"].to_list() == ([] if nothing else ["A-11", "A-13", "A-15", "A-17", "A-19"])


def test_the_number_of_a_row_is_its_place_among_all(salesforce, access):
    add_orders(salesforce, 5)
    only = Narrowing(column="Plant__c", values=["Ulm"])
    assert rows_of(reader(salesforce, access), ["Number__c"], only, "row")["row"].to_list() == [1, 2, 3, 4, 5]


def test_deleted_records_come_where_the_line_declares_what_tells_of_them(salesforce, access):
    ids = add_orders(salesforce, 3)
    salesforce.org.delete("Order__c", ids[0])
    assert len(rows_of(reader(salesforce, access))) == 2
    for few_rows in (SOQL, BULK):
        one = reader(salesforce, access, declared=["IsDeleted"], few_rows=few_rows)
        rows = rows_of(one, ["Number__c", "IsDeleted"])
        assert rows.sort("Number__c")["IsDeleted"].to_list() == [True, False, False]
        assert one.counts("", "", START)["rows"].to_list() == [3]


def test_salesforce_counts_and_finds_the_newest_of_each_site(salesforce, access):
    add_orders(salesforce, 9)
    one, until = reader(salesforce, access), START + timedelta(minutes=8)
    newest = one.newest("Plant__c", "SystemModstamp", until)
    assert dict(newest.iter_rows()) == {"Ulm": until - timedelta(minutes=2), "Bonn": until - timedelta(minutes=1)}
    assert dict(one.counts("Plant__c", "SystemModstamp", until).iter_rows()) == {"Ulm": 3, "Bonn": 4}
    beyond = one.beyond("Plant__c", "SystemModstamp", until)
    assert sorted(beyond.iter_rows()) == [("Bonn", 1, until + timedelta(minutes=1)), ("Ulm", 1, until)]
    assert one.newest("", "SystemModstamp", until)["newest"].to_list() == [until - timedelta(minutes=1)]
    assert one.state("SystemModstamp") is None
    assert one.state("Town__c") == ""


def test_texts_that_salesforce_takes_for_one_are_not_counted_by_it(salesforce, access):
    add_orders(salesforce, 4)
    assert reader(salesforce, access).counts("Town__c", "SystemModstamp", START + timedelta(days=1)) is None


def test_more_groups_than_salesforce_counts_are_told_by_the_rows_alone(salesforce, access):
    for number in range(2001):
        salesforce.org.insert("Order__c", {"Number__c": str(number), "Pieces__c": number})
    assert reader(salesforce, access).counts("Pieces__c", "", START) is None


@pytest.mark.parametrize("few_rows", [SOQL, BULK])
@pytest.mark.parametrize("kind", ["expired", "busy", "before", "after"])
@pytest.mark.parametrize("skip", range(4))
def test_a_call_that_fails_is_made_again(salesforce, access, few_rows, kind, skip):
    add_orders(salesforce, 25)
    salesforce.batch_rows = 10
    salesforce.trouble("/services/data/", kind, skip=skip, retry_after="1")
    rows = rows_of(reader(salesforce, access, few_rows=few_rows), ["Number__c"])
    assert rows["Number__c"].n_unique() == len(rows) == 25


@pytest.mark.parametrize("few_rows", [SOQL, BULK])
@pytest.mark.parametrize(
    ("kind", "words"),
    [("limit", "limit of Salesforce's API"), ("html", "HTML"), ("before", "lost"), ("slow", "in time")],
)
def test_what_does_not_pass_is_a_sentence(salesforce, access, few_rows, kind, words):
    add_orders(salesforce, 5)
    pattern = "jobs/query" if few_rows == BULK else "query"
    salesforce.trouble(pattern, kind, times=100, seconds=1.0)
    one = SalesforceReader(
        Place(kind="salesforce", at=salesforce.address, table="Order__c"),
        access,
        few_rows=few_rows,
        patience=Patience(tries=2, read_s=0.3),
        sleep=lambda s: None,
    )
    with pytest.raises(SourceError, match=words) as error:
        rows_of(one)
    assert "Order__c" in str(error.value)
    assert "correct-horse" not in str(error.value)


@pytest.mark.parametrize("few_rows", [SOQL, BULK])
def test_a_page_that_comes_again_is_refused(salesforce, access, few_rows):
    add_orders(salesforce, 25)
    salesforce.batch_rows = 10
    salesforce.job_rows = 10
    salesforce.repeats_page = True
    with pytest.raises(SourceError, match="page"):
        rows_of(reader(salesforce, access, few_rows=few_rows))


def test_a_page_that_lacks_records_is_read_once_more(salesforce, access):
    add_orders(salesforce, 25)
    salesforce.batch_rows = 10
    lost = []

    def lose_some():
        cursor = next(reversed(salesforce.cursors))
        if not lost:
            lost.append(salesforce.cursors[cursor][0].pop())

    salesforce.on_page = lose_some
    assert len(rows_of(reader(salesforce, access))) == 25
    assert lost


@pytest.mark.parametrize("end", ["Failed", "Aborted"])
def test_a_job_that_fails_gives_nothing_and_says_why(salesforce, access, end):
    add_orders(salesforce, 5)
    salesforce.job_ends = end
    with pytest.raises(SourceError, match=f"{end}: QUERY_TIMEOUT"):
        rows_of(reader(salesforce, access, few_rows=BULK))
    assert salesforce.jobs == {}


def test_a_job_that_takes_too_long_is_given_up(salesforce, access):
    add_orders(salesforce, 5)
    salesforce.looks_until_done = 100
    seconds = iter(range(0, 10_000, 10))
    one = SalesforceReader(
        Place(kind="salesforce", at=salesforce.address, table="Order__c"),
        access,
        few_rows=BULK,
        looks=Looks(sleep=lambda s: None, clock=lambda: next(seconds), total_s=60),
    )
    with pytest.raises(SourceError, match="InProgress after 60 s"):
        rows_of(one)


def test_an_object_that_is_not_there_says_what_to_do(salesforce, access):
    with pytest.raises(SourceError, match="mend the object's name, or let the integration's user see it"):
        reader(salesforce, access, table="Nothing__c").schema()


@pytest.mark.parametrize("name", ["Order__c WHERE Id != null", "Order__c--", "a.b c", "", "Ordér", "x" * 300])
def test_a_name_that_is_none_is_never_sent(salesforce, access, name):
    with pytest.raises(SourceError, match="is no name"):
        reader(salesforce, access, table=name).schema()
    assert salesforce.count("describe") == 0


@given(st.text(), st.text())
def test_a_text_in_a_query_is_that_text_and_nothing_else(text, other):
    field = Field(name="Town__c", kind="string", filterable=True)
    query = soql.select(["Id"], "Order__c", soql.among(field, [text]))
    fields = {"Id": {"type": "id"}, "Town__c": {"type": "id"}}  # an id is compared by its very letters
    asked = parse(query, lambda name: fields)
    assert asked.where({"Town__c": text})
    assert asked.where({"Town__c": other}) == (other == text)


@given(NUMBERS)
def test_a_number_keeps_its_value_and_has_one_spelling(number):
    from factory.connectors.salesforce.values import value_of

    field = Field(name="Amount__c", kind="double")
    (plain,) = value_of(number, field)
    (again,) = value_of(number.normalize(), field)
    assert Decimal(plain) == number
    assert plain == again
