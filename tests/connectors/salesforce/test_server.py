"""The tests' Salesforce against simple-salesforce, a public client: what it was written for, it finds there."""

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import requests
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import (
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceResourceNotFound,
)
from simple_salesforce.login import token_login

from tests.connectors.salesforce.org import of_field
from tests.connectors.salesforce.server import CLIENT_ID, CLIENT_SECRET, VERSION, serving


@pytest.fixture
def salesforce():
    with serving() as running:
        running.org.add_object(
            "Order__c",
            [
                of_field("Number__c", "string", externalId=True, idLookup=True, length=40),
                of_field("Plant__c", "string"),
                of_field("Amount__c", "double"),
                of_field("Open__c", "boolean"),
                of_field("Due__c", "datetime"),
            ],
        )
        yield running


@pytest.fixture
def client(salesforce):
    """The public client, in a session that it had by client credentials."""
    with requests.Session() as session:
        session.verify, session.trust_env = str(salesforce.authority), False
        form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        url = f"{salesforce.address}/services/oauth2/token"
        token, instance = token_login(url, form, "my-org", CLIENT_ID, None, None, session)
        yield Salesforce(session_id=token, instance=instance, session=session, version=VERSION)


def orders(salesforce, number):
    for n in range(number):
        values = {
            "Number__c": f"A-{n}",
            "Plant__c": "Ulm" if n % 2 else "Bonn",
            "Amount__c": Decimal(f"{n}.50"),
            "Open__c": n % 3 == 0,
        }
        salesforce.org.insert("Order__c", values)


def test_it_describes_an_object_and_refuses_another(salesforce, client):
    described = client.Order__c.describe()
    assert {"Id", "IsDeleted", "SystemModstamp", "Number__c"} <= {one["name"] for one in described["fields"]}
    with pytest.raises(SalesforceResourceNotFound):
        client.Nothing__c.describe()


def test_soql_comes_page_by_page_and_is_counted(salesforce, client):
    orders(salesforce, 25)
    salesforce.batch_rows = 10
    found = client.query_all("SELECT Id, Number__c, Amount__c FROM Order__c ORDER BY Number__c DESC")
    assert found["totalSize"] == len(found["records"]) == 25
    assert len({one["Id"] for one in found["records"]}) == 25
    assert found["records"][0]["Number__c"] == "A-9"
    assert client.query("SELECT COUNT() FROM Order__c WHERE Plant__c = 'ulm' AND Amount__c > 10")["totalSize"] == 7
    groups = client.query("SELECT Plant__c, COUNT(Id), MAX(SystemModstamp) FROM Order__c GROUP BY Plant__c")["records"]
    assert {one["Plant__c"]: one["expr0"] for one in groups} == {"Ulm": 12, "Bonn": 13}


def test_deleted_records_are_in_query_all_alone(salesforce, client):
    orders(salesforce, 3)
    salesforce.org.delete("Order__c", salesforce.org.objects["Order__c"].records[0]["Id"])
    query = "SELECT Id, IsDeleted FROM Order__c"
    assert client.query(query)["totalSize"] == 2
    assert [one["IsDeleted"] for one in client.query(query, include_deleted=True)["records"]] == [True, False, False]


@pytest.mark.parametrize(
    "query", ["SELECT Id FROM", "SELECT Nothing FROM Order__c", "SELECT Id FROM Order__c WHERE Due__c = 'x'"]
)
def test_a_query_that_is_none_is_refused(salesforce, client, query):
    with pytest.raises(SalesforceMalformedRequest):
        client.query(query)


def test_an_upsert_makes_a_record_once_and_then_changes_it(salesforce, client):
    assert client.Order__c.upsert("Number__c/A 1", {"Plant__c": "Ulm"}) == 201
    assert client.Order__c.upsert("Number__c/A 1", {"Plant__c": "Bonn"}) == 200
    (record,) = salesforce.org.objects["Order__c"].records
    assert (record["Number__c"], record["Plant__c"]) == ("A 1", "Bonn")
    with pytest.raises(SalesforceMalformedRequest):
        client.Order__c.upsert("Number__c/A 2", {"Plant__c": "x" * 256})


def test_a_collection_is_upserted_record_by_record(salesforce, client):
    records = [
        {"attributes": {"type": "Order__c"}, "Number__c": "A-1", "Amount__c": 12.5},
        {"attributes": {"type": "Order__c"}, "Number__c": "A-2", "Amount__c": "many"},
    ]
    path, body = "composite/sobjects/Order__c/Number__c", {"allOrNone": False, "records": records}
    good, bad = client.restful(path, method="PATCH", json=body)
    assert good["created"]
    assert not bad["success"]
    assert bad["errors"][0]["fields"] == ["Amount__c"]


def test_bulk_jobs_read_and_write(salesforce, client):
    salesforce.looks_until_done = 2
    records = [{"Number__c": f"A-{n}", "Amount__c": str(n), "Due__c": "2026-03-01T08:00:00.000Z"} for n in range(30)]
    (done,) = client.bulk2.Order__c.upsert(records=records, external_id_field="Number__c", wait=0.01)
    assert done["numberRecordsProcessed"] == 30
    assert done["numberRecordsFailed"] == 0
    successful = list(csv.DictReader(io.StringIO(client.bulk2.Order__c.get_successful_records(done["job_id"]))))
    assert {one["sf__Created"] for one in successful} == {"true"}
    pages = client.bulk2.Order__c.query("SELECT Number__c, Due__c FROM Order__c", max_records=20, wait=0.01)
    rows = [row for page in pages for row in csv.DictReader(io.StringIO(page))]
    assert len(rows) == 30
    assert rows[0] == {"Number__c": "A-0", "Due__c": "2026-03-01T08:00:00.000Z"}


def test_a_job_tells_which_records_failed_and_which_it_did_not_get_to(salesforce, client):
    salesforce.job_ends = "Failed"
    job_id = client.bulk2.Order__c._client.create_job("upsert", external_id_field="Number__c")["id"]
    bulk = client.bulk2.Order__c._client
    bulk.upload_job_data(job_id, "Number__c,Amount__c\nA-1,many\nA-2,2\nA-3,3\nA-4,4\n")
    bulk.close_job(job_id)
    assert bulk.get_job(job_id, is_query=False)["state"] == "Failed"
    assert client.bulk2.Order__c.get_failed_records(job_id).count("A-1") == 1
    assert "A-2" in client.bulk2.Order__c.get_successful_records(job_id)
    assert "A-3" in client.bulk2.Order__c.get_unprocessed_records(job_id)


def test_a_session_ends_and_a_day_has_so_many_calls(salesforce, client):
    salesforce.trouble("query", "limit")
    with pytest.raises(Exception, match="REQUEST_LIMIT_EXCEEDED"):
        client.query("SELECT Id FROM Order__c")
    salesforce.trouble("query", "expired")
    with pytest.raises(SalesforceExpiredSession):
        client.query("SELECT Id FROM Order__c")


def test_moments_are_those_of_the_clock(salesforce, client):
    salesforce.org.clock = lambda: datetime(2026, 3, 1, 8, tzinfo=UTC)
    orders(salesforce, 1)
    query = "SELECT SystemModstamp FROM Order__c WHERE SystemModstamp >= 2026-03-01T08:00:00Z"
    assert client.query(query)["records"][0]["SystemModstamp"] == "2026-03-01T08:00:00.000+0000"
