"""Records of Salesforce into batches with types, against simple-salesforce's lists of dicts, from one test server.

Run by `python benchmarks/salesforce_reading.py [records]`. The server is that of the tests, over TLS in a process of
its own; its share is the same for both, so the reading process's own CPU seconds are told beside the rows a second.
"""

import csv
import io
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from decimal import Decimal

import requests
from simple_salesforce import Salesforce as SimpleSalesforce
from simple_salesforce.login import token_login

from factory.connectors.salesforce.reader import SalesforceReader
from factory.connectors.tables.place import Place
from factory.connectors.tables.reader import Narrowing
from factory.connectors.web.access import OAuth
from tests.connectors.salesforce.org import Org, of_field
from tests.connectors.salesforce.server import CLIENT_ID, CLIENT_SECRET, VERSION, serving

COLUMNS = ["Number__c", "Plant__c", "Amount__c", "Pieces__c", "Open__c", "Due__c"]
QUERY = f"SELECT {', '.join(COLUMNS)} FROM Order__c"  # noqa: S608  names of this file


def serve(records: int, told: "multiprocessing.Queue[tuple[str, str]]", done: "multiprocessing.Event") -> None:
    """Serve so many records until done."""
    org = Org()
    kinds = ["string", "picklist", "double", "int", "boolean", "datetime"]
    org.add_object("Order__c", [of_field(name, kind) for name, kind in zip(COLUMNS, kinds, strict=True)])
    for n in range(records):
        values = (f"A-{n:09d}", "Ulm", Decimal(n) / 4, n, n % 3 == 0, "2026-03-01T08:00:00.000+0000")
        org.insert("Order__c", dict(zip(COLUMNS, values, strict=True)))
    with serving(org) as running:
        told.put((running.address, str(running.authority)))
        done.wait()


def measured(what: str, read: Callable[[], int], records: int) -> float:
    """Print how fast a reading is, the better of two; return its rows a processor's second."""
    best = []
    for _ in range(2):
        wall, processor = time.perf_counter(), time.process_time()
        assert read() == records
        best.append((time.process_time() - processor, time.perf_counter() - wall))
    processor, wall = min(best)
    print(f"{what:34}{records / wall:12,.0f} rows/s {records / processor:12,.0f} rows/CPU s")
    return records / processor


def main(records: int) -> None:
    """Measure both doors."""
    told, done = multiprocessing.Queue(), multiprocessing.Event()
    server = multiprocessing.Process(target=serve, args=(records, told, done))
    server.start()
    address, authority = told.get()
    os.environ |= {"SF_CLIENT": CLIENT_ID, "SF_SECRET": CLIENT_SECRET}
    url = f"{address}/services/oauth2/token"
    access = OAuth(
        token_url=url,
        client_id="env:SF_CLIENT",
        client_secret="env:SF_SECRET",  # noqa: S106  the name of a variable
        certificate_authority=authority,
    )
    place = Place(kind="salesforce", at=address, table="Order__c")
    session = requests.Session()
    session.verify, session.trust_env = authority, False
    form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    token, instance = token_login(url, form, "bench", CLIENT_ID, None, None, session)
    simple = SimpleSalesforce(session_id=token, instance=instance, session=session, version=VERSION)

    def ours(few_rows: int) -> int:
        reader = SalesforceReader(place, access, few_rows=few_rows)
        return sum(map(len, reader.batches(COLUMNS, Narrowing())))

    def theirs_by_job() -> int:
        pages = simple.bulk2.Order__c.query(QUERY, wait=0.1)
        return sum(len(list(csv.DictReader(io.StringIO(page)))) for page in pages)

    by_soql = measured("SOQL, ours, counted and typed", lambda: ours(10**9), records)
    by_soql /= measured("SOQL, simple-salesforce", lambda: len(simple.query_all(QUERY)["records"]), records)
    by_job = measured("Bulk 2.0, ours, counted and typed", lambda: ours(0), records)
    by_job /= measured("Bulk 2.0, simple-salesforce", theirs_by_job, records)
    print(f"ratio of rows per processor's second: SOQL {by_soql:.2f}, Bulk 2.0 {by_job:.2f}")
    done.set()
    server.join()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
