"""Jobs of the Bulk API 2.0: queries of many rows, and upserts of many records; each call in the client's session.

A job is created, gets its data, and works while it is looked at, less and less often. An upsert's job has an id before
its data: whoever keeps it can ask later what became of each record.
"""

import io
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from factory.connectors.salesforce.client import Salesforce
from factory.connectors.tables.reader import BATCH_ROWS
from factory.errors import ServiceBusy, ServiceError, ServiceGarbled, ServiceRefused

ENDED = ("JobComplete", "Failed", "Aborted")
MOST_BYTES = 90 << 20
"""Of the data of one job; Salesforce takes 150 MB once it is encoded."""


@dataclass(frozen=True, kw_only=True)
class Looks:
    """How often a job is looked at, in seconds."""

    first_s: float = 0.5
    slowest_s: float = 15.0
    total_s: float = 3600.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic


def query_frames(
    salesforce: Salesforce, soql: str, *, with_deleted: bool = False, looks: Looks | None = None
) -> Iterator[pl.DataFrame]:
    """Yield a query's rows as texts, null where there is no value; raises ServiceError.

    The rows are those that the job says it found: as many, each page once.
    """
    body = {"operation": "queryAll" if with_deleted else "query", "query": soql}
    path = f"jobs/query/{_id(salesforce.call('POST', 'jobs/query', json=body, repeatable=True).json())}"
    try:
        told = ended(salesforce, path, looks)
        if told.get("state") != "JobComplete":
            raise ServiceGarbled(f"the query's job ended as {told.get('state')}: {_why(told)}")
        yield from _pages(salesforce, path, int(told.get("numberRecordsProcessed") or 0))
    finally:
        _deleted(salesforce, path)


def _pages(salesforce: Salesforce, path: str, expected: int) -> Iterator[pl.DataFrame]:
    locator, seen, came = "", set[str](), 0
    while True:
        params = {"maxRecords": str(BATCH_ROWS), **({"locator": locator} if locator else {})}
        reply = salesforce.call("GET", f"{path}/results", params=params, headers={"Accept": "text/csv"})
        rows = csv_frame(reply.body)
        if str(len(rows)) != reply.headers.get("sforce-numberofrecords", ""):
            said = reply.headers.get("sforce-numberofrecords")
            raise ServiceGarbled(f"a page of the query's results says it has {said} rows, and has {len(rows)}")
        came += len(rows)
        yield rows
        locator = reply.headers.get("sforce-locator", "null")
        if locator in ("", "null"):
            break
        if locator in seen or rows.is_empty():
            raise ServiceGarbled(f"a page of the query's results comes again: locator {locator}")
        seen.add(locator)
    if came != expected:
        raise ServiceGarbled(f"the query's job found {expected:,} rows, and {came:,} came")


def create_upsert(salesforce: Salesforce, name: str, key: str) -> str:
    """Create the job of an upsert and return its id; nothing is written before it has its data."""
    body = {
        "object": name,
        "externalIdFieldName": key,
        "operation": "upsert",
        "contentType": "CSV",
        "lineEnding": "LF",
    }
    return _id(salesforce.call("POST", "jobs/ingest", json=body, repeatable=True).json())


def upload(salesforce: Salesforce, job_id: str, data: bytes) -> None:
    """Give a job its data, and let it begin; raises ServiceError. Asked again it does what is still to be done."""
    state = job_state(salesforce, job_id)
    if state == "Open":
        try:
            salesforce.call(
                "PUT",
                f"jobs/ingest/{job_id}/batches",
                content=data,
                headers={"Content-Type": "text/csv; charset=UTF-8"},
            )
        except ServiceRefused as error:
            if "INVALIDJOBSTATE" not in error.body:  # it has them already: the answer was lost
                raise
        salesforce.call("PATCH", f"jobs/ingest/{job_id}", json={"state": "UploadComplete"}, repeatable=False)


def job_state(salesforce: Salesforce, job_id: str) -> str:
    """Return the state of an upsert's job, empty where Salesforce has it no more; raises ServiceError."""
    try:
        return str(salesforce.call("GET", f"jobs/ingest/{job_id}").json().get("state") or "")
    except ServiceRefused as error:
        if error.status == 404:
            return ""
        raise


def results(salesforce: Salesforce, job_id: str) -> Mapping[str, pl.DataFrame]:
    """Return the records of an upsert's job that has ended: `successful`, `failed` and `unprocessed`, as texts."""
    paths = {"successful": "successfulResults", "failed": "failedResults", "unprocessed": "unprocessedrecords"}
    path = f"jobs/ingest/{job_id}"
    return {
        name: csv_frame(salesforce.call("GET", f"{path}/{one}", headers={"Accept": "text/csv"}).body)
        for name, one in paths.items()
    }


def abort(salesforce: Salesforce, job_id: str) -> None:
    """End an upsert's job that has not ended; what it has written stays written. Raises ServiceError."""
    salesforce.call("PATCH", f"jobs/ingest/{job_id}", json={"state": "Aborted"}, repeatable=True)


def ended(salesforce: Salesforce, path: str, looks: Looks | None = None) -> Mapping[str, Any]:
    """Return what a job says of itself once it has ended; raises ServiceBusy where it takes too long."""
    looks = looks or Looks()
    pause_s, end = looks.first_s, looks.clock() + looks.total_s
    while True:
        told = salesforce.call("GET", path).json()
        if not isinstance(told, dict) or "state" not in told:
            raise ServiceGarbled(f"the job {path} does not say its state")
        if told["state"] in ENDED:
            return told
        if looks.clock() + pause_s > end:
            raise ServiceBusy(f"the job {path} is {told['state']} after {looks.total_s:,.0f} s")
        looks.sleep(pause_s)
        pause_s = min(pause_s * 1.5, looks.slowest_s)


def csv_frame(body: bytes) -> pl.DataFrame:
    """Return a CSV of the Bulk API as texts: Salesforce has no empty text, so nothing is null."""
    if not body.strip():
        return pl.DataFrame()
    try:
        return pl.read_csv(io.BytesIO(body), infer_schema=False, null_values=[""])
    except pl.exceptions.PolarsError as error:
        raise ServiceGarbled(f"the results of a job are no CSV: {str(error)[:200]}") from None


def _id(told: Any) -> str:
    job_id = told.get("id") if isinstance(told, dict) else None
    if not isinstance(job_id, str) or not job_id.isalnum():
        raise ServiceGarbled(f"Salesforce created a job without an id: {str(told)[:200]}")
    return job_id


def _why(told: Mapping[str, Any]) -> str:
    return str(told.get("errorMessage") or "it does not say why")


def _deleted(salesforce: Salesforce, path: str) -> None:
    """Let go of a query's results; Salesforce does so itself after a week."""
    try:
        salesforce.call("DELETE", path, expect=range(400, 500))
    except ServiceError:
        return
