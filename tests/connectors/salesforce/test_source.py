"""An object of Salesforce as a table of a line: what is new, changed or deleted there comes in, and nothing twice."""

from dataclasses import asdict
from datetime import timedelta

import pytest

from factory.connectors.tables import TableSource
from factory.data.ingest import ingest
from factory.data.raw_rows import standing_raw_rows
from factory.line.changes import Changes, Deleted
from factory.line.line import Table
from factory.line.schema_changes import SchemaChanges
from factory.storage.lake import Lake
from tests.connectors.salesforce.conftest import START, add_orders

UNTIL = START + timedelta(days=1)
TABLE = Table(
    name="orders",
    columns={
        "number": "String",
        "plant": "String",
        "amount": "Float64",
        "created": "Datetime(time_unit='us', time_zone='UTC')",
        "changed": "Datetime(time_unit='us', time_zone='UTC')",
        "deleted": "Boolean",
    },
    key=("number",),
    cursor="created",
    site_column="plant",
    contract=(),
    repair=lambda rows: rows,
    schema_changes=SchemaChanges(new="ignore"),
    changes=Changes(known_by="change_column", column="changed", deleted=Deleted(column="deleted", values=(True,))),
)
NAMES = {
    "number": "Number__c",
    "plant": "Plant__c",
    "amount": "Amount__c",
    "created": "CreatedDate",
    "changed": "SystemModstamp",
    "deleted": "IsDeleted",
}


@pytest.fixture
def load(salesforce, access, tmp_path, monkeypatch):
    """Load both plants; give how many rows are new."""
    monkeypatch.setenv("SALESFORCE", f"salesforce+{salesforce.address}")
    said = {key: value for key, value in asdict(access).items() if value}
    source = TableSource({"orders": {"at": "env:SALESFORCE::Order__c", "names": NAMES, "access": said}})
    lake, seen = Lake(tmp_path, "toy"), {}

    def load():
        loaded = ingest(lake, source, TABLE, ["Bonn", "Ulm"], UNTIL, seen=seen)
        assert loaded.failed == {}
        seen.update({site: rows.seen for site, rows in loaded.done.items()})
        return sum(rows.new_rows for rows in loaded.done.values())

    load.source, load.lake = source, lake
    return load


def standing(load):
    rows = standing_raw_rows(load.lake, TABLE, ["Bonn", "Ulm"]).collect()
    return dict(rows.select("number", "amount").sort("number").iter_rows())


def test_new_changed_and_deleted_records_come_in_once(salesforce, load):
    ids = add_orders(salesforce, 6)
    assert load.source.sites(TABLE, UNTIL) == ["Bonn", "Ulm"]
    assert load() == 6
    assert load() == 0
    record = salesforce.org.objects["Order__c"].records[2]
    salesforce.org.upsert("Order__c", "Number__c", record["Number__c"], {"Amount__c": 99})
    salesforce.org.delete("Order__c", ids[0])
    salesforce.org.insert("Order__c", {"Number__c": "A-6", "Plant__c": "Ulm"})
    assert load() == 3
    assert load() == 0
    assert standing(load) == {"A-1": 1.5, "A-2": 99.0, "A-3": 3.5, "A-4": 4.5, "A-5": 5.5, "A-6": None}


def test_what_left_the_recycle_bin_unseen_is_found_by_the_count(salesforce, load):
    ids = add_orders(salesforce, 6)
    load()
    salesforce.org.purge("Order__c", ids[0])
    load()
    assert "A-0" not in standing(load)


def test_a_load_without_changes_reads_no_record_again_but_the_newest(salesforce, load):
    add_orders(salesforce, 40)
    load()
    salesforce.calls.clear()
    load()
    assert len(salesforce.calls) <= 8
    assert salesforce.count("jobs|token|describe") == 0
