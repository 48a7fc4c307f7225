"""A Salesforce on this machine, over TLS: OAuth, describe, SOQL, upserts, Bulk API 2.0; and what goes wrong with one.

Written from the published REST API, OAuth and Bulk API 2.0 developer guides (API version 59.0); test_server.py holds it
to a public client. `Trouble` says what shall go wrong.
"""

import base64
import csv
import io
import itertools
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec

from tests.connectors import https
from tests.connectors.https import Answer, Asked, certificates
from tests.connectors.salesforce.org import Org, Refusal, moment_text, with_suffix
from tests.connectors.salesforce.soql import MalformedError

VERSION = "59.0"
CLIENT_ID, CLIENT_SECRET = "factory-app", "correct-horse-battery"
_DATA = f"/services/data/v{VERSION}"
_STATUS = {"NOT_FOUND": 404, "INVALID_TYPE": 400, "INVALID_SESSION_ID": 401, "REQUEST_LIMIT_EXCEEDED": 403}
_MOST_URL = 16_384
_ENCODER = msgspec.json.Encoder(decimal_format="number")


@dataclass
class Trouble:
    """What goes wrong with calls whose `METHOD path` a pattern fits, `times` times after the first `after`.

    `expired`: the session is. `limit`: the day's calls are used up. `busy`: 429, or the status. `before` and `after`:
    the connection is cut before the call is done, or after. `html`: a page of HTML comes. `slow`: it takes seconds.
    """

    pattern: str
    kind: str
    times: int = 1
    skip: int = 0
    status: int = 429
    retry_after: str = ""
    seconds: float = 0.0


@dataclass
class Job:
    """One job of the Bulk API 2.0."""

    id: str
    told: dict[str, Any]
    looks: int = 0
    content: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    successful: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)
    unprocessed: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Salesforce:
    """The server as a test sees it: where it is, what it holds, what it was asked, what goes wrong."""

    address: str
    authority: Path
    org: Org
    troubles: list[Trouble] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    jobs: dict[str, Job] = field(default_factory=dict)
    batch_rows: int = 2000
    """Rows of a page of SOQL."""
    job_rows: int = 50_000
    """Rows of a page of a job's results, where more are asked for."""
    looks_until_done: int = 1
    """How often a job is looked at before it is done."""
    job_ends: str = "JobComplete"
    """What jobs end as; a Failed ingest job has done half of its records."""
    repeats_page: bool = False
    """Whether the address of the next page is that of the page itself."""
    on_page: Callable[[], None] = lambda: None
    """What happens before a page after the first is given."""
    cursors: dict[str, tuple[list[dict[str, Any]], str]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def count(self, pattern: str) -> int:
        """Return how many calls there were whose method and path fit."""
        return sum(bool(re.search(pattern, call)) for call in self.calls)

    def trouble(self, pattern: str, kind: str, **told: Any) -> None:
        self.troubles.append(Trouble(pattern, kind, **told))


@contextmanager
def serving(org: Org | None = None) -> Iterator[Salesforce]:
    """A server for the block, on a port of its own."""
    salesforce = Salesforce("", certificates().authority, org or Org())
    with https.serving(_Door(salesforce).answer) as host:
        salesforce.address = host.address
        yield salesforce


class _Door:
    """Answers each request, as Salesforce would or as trouble has it."""

    def __init__(self, salesforce: Salesforce) -> None:
        self.salesforce = salesforce

    def answer(self, asked: Asked) -> Answer:
        call = f"{asked.method} {asked.path}{'?' if asked.query else ''}{asked.query}"
        self.salesforce.calls.append(call)
        return self._troubled(call, asked)

    def _troubled(self, call: str, asked: Asked) -> Answer:
        trouble = self._trouble(call)
        if trouble is None:
            return self._done(asked)
        match trouble.kind:
            case "before":
                return Answer(drop=True)
            case "limit":
                return _refused(Refusal("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."))
            case "busy":
                told = {"Retry-After": trouble.retry_after} if trouble.retry_after else {}
                return Answer(trouble.status, b"[]", told)
            case "html":
                return Answer(200, b"<html><body>Maintenance</body></html>", {"Content-Type": "text/html"})
            case "expired":
                self.salesforce.tokens.clear()
        answer = self._done(asked)
        slow_s = trouble.seconds if trouble.kind == "slow" else 0.0
        return replace(answer, drop=trouble.kind == "after", slow_s=slow_s)

    def _trouble(self, call: str) -> Trouble | None:
        for trouble in self.salesforce.troubles:
            if trouble.times and re.search(trouble.pattern, call):
                if trouble.skip:
                    trouble.skip -= 1
                    continue
                trouble.times -= 1
                return trouble
        return None

    def _done(self, asked: Asked) -> Answer:
        if asked.path == "/services/oauth2/token" and asked.method == "POST":
            return self._token(asked)
        try:
            if asked.headers.get("authorization", "").removeprefix("Bearer ") not in self.salesforce.tokens:
                raise Refusal("INVALID_SESSION_ID", "Session expired or invalid")
            if len(asked.path) + len(asked.query) > _MOST_URL:
                return Answer(414, b"[]")
            path = [unquote(part) for part in asked.path.removeprefix(_DATA + "/").strip("/").split("/")]
            if not asked.path.startswith(_DATA + "/"):
                raise _not_found()
            return self._resource(asked.method, path, asked.params, asked.body)
        except Refusal as refusal:
            return _refused(refusal)
        except MalformedError as error:
            return _refused(Refusal(error.code, str(error)))

    def _token(self, asked: Asked) -> Answer:
        form = dict(parse_qsl(asked.body.decode()))
        scheme, _, pair = asked.headers.get("authorization", "").partition(" ")
        pair = base64.b64decode(pair).decode() if scheme == "Basic" else ""
        client = tuple(pair.split(":", 1)) if pair else (form.get("client_id"), form.get("client_secret"))
        if form.get("grant_type") != "client_credentials":
            return _json({"error": "unsupported_grant_type", "error_description": "grant type not supported"}, 400)
        if client != (CLIENT_ID, CLIENT_SECRET):
            return _json({"error": "invalid_client", "error_description": "invalid client credentials"}, 401)
        token = f"00D{next(self.salesforce.numbers):012d}!session"
        self.salesforce.tokens.add(token)
        told = {"access_token": token, "instance_url": self.salesforce.address, "token_type": "Bearer"}
        return _json({**told, "issued_at": str(int(time.time() * 1000)), "signature": "not-of-this-server"})

    def _resource(self, method: str, path: list[str], params: Mapping[str, str], body: bytes) -> Answer:
        match method, path:
            case "GET", ["sobjects", *rest]:
                return self._described(rest)
            case "GET", ["query" | "queryAll" as verb]:
                return self._query(params.get("q", ""), with_deleted=verb == "queryAll")
            case "GET", ["query" | "queryAll", locator]:
                self.salesforce.on_page()
                return self._page(locator)
            case "PATCH", ["sobjects", name, key, value]:
                record_id, created = self.salesforce.org.upsert(name, key, value, _object(body))
                told = {"id": record_id, "success": True, "errors": [], "created": created}
                return _json(told, 201 if created else 200)
            case "PATCH", ["composite", "sobjects", name, key]:
                return self._collection(name, key, _object(body))
            case _, ["jobs", "query" | "ingest" as kind, *rest]:
                return self._jobs(method, kind, rest, params, body)
        raise _not_found()

    def _described(self, rest: list[str]) -> Answer:
        objects = self.salesforce.org.objects
        if not rest:
            return _json({"sobjects": [{"name": name} for name in objects]})
        if len(rest) != 2 or rest[1] != "describe" or rest[0] not in objects:
            raise _not_found()
        return _json(objects[rest[0]].describe())

    def _query(self, text: str, *, with_deleted: bool) -> Answer:
        query, rows = self.salesforce.org.query(text, with_deleted=with_deleted)
        if query.is_count:
            return _json({"totalSize": len(rows), "done": True, "records": []})
        kind = "AggregateResult" if query.is_aggregate else query.table
        locator = f"0r8{next(self.salesforce.numbers):012d}"
        self.salesforce.cursors[locator] = rows, kind
        return self._page(f"{locator}-0")

    def _page(self, locator: str) -> Answer:
        cursor, _, first = locator.rpartition("-")
        if cursor not in self.salesforce.cursors or not first.isdigit():
            raise Refusal("INVALID_QUERY_LOCATOR", "invalid query locator")
        rows, kind = self.salesforce.cursors[cursor]
        begin, size = int(first), self.salesforce.batch_rows
        end = begin if self.salesforce.repeats_page and begin else begin + size
        page = [{"attributes": {"type": kind}, **row} for row in rows[begin : begin + size]]
        told: dict[str, Any] = {"totalSize": len(rows), "done": begin + size >= len(rows), "records": page}
        if not told["done"]:
            told["nextRecordsUrl"] = f"{_DATA}/query/{cursor}-{end}"
        return _json(told)

    def _collection(self, name: str, key: str, asked: Mapping[str, Any]) -> Answer:
        records = asked.get("records", [])
        if len(records) > 200:
            raise Refusal("LIMIT_EXCEEDED", "record limit reached. cannot submit more than 200 records into this call")
        values = Counter(record.get(key) for record in records)
        answers = []
        for record in records:
            try:
                if values[record.get(key)] > 1:
                    raise Refusal("DUPLICATE_VALUE", f"Duplicate external id specified: {record.get(key)}", [key])
                fields = {field: value for field, value in record.items() if field not in ("attributes", key)}
                record_id, created = self.salesforce.org.upsert(name, key, record.get(key), fields)
                answers.append({"id": record_id, "success": True, "errors": [], "created": created})
            except Refusal as refusal:
                answers.append({"success": False, "errors": [refusal.error()]})
        return _json(answers)

    def _jobs(self, method: str, kind: str, rest: list[str], params: Mapping[str, str], body: bytes) -> Answer:
        if method == "POST" and not rest:
            return self._create_job(kind, _object(body))
        job = self.salesforce.jobs.get(rest[0]) if rest else None
        if job is None or (job.told["operation"] in ("query", "queryAll")) != (kind == "query"):
            raise _not_found()
        if method == "DELETE":
            del self.salesforce.jobs[job.id]
            return Answer(204)
        if method == "PATCH":
            return self._set_state(job, str(_object(body).get("state")))
        if method == "GET" and not rest[1:]:
            self._look(job)
            return _json(job.told)
        if kind == "query":
            return self._results(job, params)
        return self._upload(job, body) if method == "PUT" else self._ingested(job, rest[1].lower())

    @staticmethod
    def _upload(job: Job, body: bytes) -> Answer:
        if job.told["state"] != "Open" or job.content:
            raise Refusal("INVALIDJOBSTATE", "Job is not open, or has its data already")
        job.content = body.decode()
        return Answer(201)

    def _create_job(self, kind: str, asked: Mapping[str, Any]) -> Answer:
        job_id = with_suffix(f"750R{next(self.salesforce.numbers):011d}")
        told = {
            "id": job_id,
            "operation": asked.get("operation"),
            "object": asked.get("object"),
            "createdDate": moment_text(self.salesforce.org.clock()),
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(VERSION),
            "lineEnding": asked.get("lineEnding", "LF"),
            "columnDelimiter": asked.get("columnDelimiter", "COMMA"),
        }
        job = Job(job_id, told)
        if kind == "query":
            query, job.rows = self.salesforce.org.query(
                str(asked.get("query")), with_deleted=asked.get("operation") == "queryAll"
            )
            if query.is_count or query.is_aggregate:
                raise Refusal("API_ERROR", "Aggregate Relationships not supported in Bulk Query")
            job.names = [name for _, name in query.selected]
            job.told |= {"object": query.table, "state": "UploadComplete"}
        else:
            self.salesforce.org.sobject(str(asked.get("object")))
            if asked.get("operation") == "upsert" and not asked.get("externalIdFieldName"):
                raise Refusal("INVALIDJOB", "External ID was blank for upsert")
            url = f"{_DATA.lstrip('/')}/jobs/ingest/{job_id}/batches"
            job.told |= {"externalIdFieldName": asked.get("externalIdFieldName"), "state": "Open", "contentUrl": url}
        self.salesforce.jobs[job_id] = job
        return _json(job.told)

    def _set_state(self, job: Job, state: str) -> Answer:
        if state == "Aborted":
            job.told["state"] = "Aborted"
            job.unprocessed = job.unprocessed or _records(job)
        elif state == "UploadComplete" and job.told["state"] == "Open":
            job.told["state"] = "UploadComplete"
        else:
            raise Refusal("INVALIDJOBSTATE", f"Job cannot go from {job.told['state']} to {state}")
        return _json(job.told)

    def _look(self, job: Job) -> None:
        """Let a job go on, as far as it has been looked at often enough."""
        with self.salesforce.org.lock:  # who looks while it works sees it at work, and does not do it again
            if job.told["state"] not in ("UploadComplete", "InProgress"):
                return
            job.looks += 1
            job.told["state"] = "InProgress"
            if job.looks < self.salesforce.looks_until_done:
                return
            if job.told["operation"] not in ("query", "queryAll"):
                self._ingest(job)
            elif self.salesforce.job_ends != "JobComplete":
                job.told["errorMessage"] = "QUERY_TIMEOUT: Your query request was running for too long"
            job.told["state"] = self.salesforce.job_ends
            job.told["numberRecordsProcessed"] = len(job.rows) or len(job.successful) + len(job.failed)

    def _ingest(self, job: Job) -> None:
        records, key = _records(job), job.told["externalIdFieldName"]
        done = len(records) if self.salesforce.job_ends == "JobComplete" else len(records) // 2
        for record in records[:done]:
            values = {
                name: None if value == "#N/A" else value for name, value in record.items() if value and name != key
            }
            try:
                record_id, created = self.salesforce.org.upsert(job.told["object"], key, record.get(key), values)
                job.successful.append({"sf__Id": record_id, "sf__Created": str(created).lower(), **record})
            except Refusal as refusal:
                words = f"{refusal.code}:{refusal.message}:{' '.join(refusal.fields)} --"
                job.failed.append({"sf__Id": "", "sf__Error": words, **record})
        job.unprocessed = records[done:]
        job.told["numberRecordsFailed"] = len(job.failed)
        if done < len(records):
            job.told["errorMessage"] = "InternalServerError : the job could not go on"

    def _results(self, job: Job, params: Mapping[str, str]) -> Answer:
        if job.told["state"] != "JobComplete":
            raise Refusal("INVALIDJOBSTATE", "Job is not complete")
        first, size = (
            int(params.get("locator", "0")),
            min(int(params.get("maxRecords", "50000")), self.salesforce.job_rows),
        )
        rows = job.rows[first : first + size]
        more = first + size < len(job.rows)
        after = first if self.salesforce.repeats_page and first else first + size
        told = {"Sforce-NumberOfRecords": str(len(rows)), "Sforce-Locator": str(after) if more else "null"}
        return Answer(200, _csv(job.names, rows), {"Content-Type": "text/csv", **told})

    def _ingested(self, job: Job, which: str) -> Answer:
        lists = {
            "successfulresults": job.successful,
            "failedresults": job.failed,
            "unprocessedrecords": job.unprocessed,
        }
        if which not in lists:
            raise _not_found()
        fields = next(csv.reader(io.StringIO(job.content)), [])
        own = {"successfulresults": ["sf__Id", "sf__Created"], "failedresults": ["sf__Id", "sf__Error"]}.get(which, [])
        return Answer(200, _csv([*own, *fields], lists[which]), {"Content-Type": "text/csv"})


def _records(job: Job) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(job.content)))


def _csv(names: list[str], rows: list[dict[str, Any]]) -> bytes:
    """Return rows as the Bulk API writes them: every value in quotes, a missing one as none at all."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_csv_value(row.get(name)) for name in names] for row in rows)
    return text.getvalue().encode()


def _csv_value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    is_moment = re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", text)
    return text.removesuffix("+0000") + "Z" if is_moment else text


def _json(told: Any, status: int = 200) -> Answer:
    return Answer(status, _ENCODER.encode(told), {"Content-Type": "application/json;charset=UTF-8"})


def _not_found() -> Refusal:
    return Refusal("NOT_FOUND", "The requested resource does not exist")


def _refused(refusal: Refusal) -> Answer:
    told: dict[str, Any] = {"message": refusal.message, "errorCode": refusal.code}
    return _json([told | ({"fields": refusal.fields} if refusal.fields else {})], _STATUS.get(refusal.code, 400))


def _object(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body, parse_float=Decimal)
    except ValueError:
        raise Refusal("JSON_PARSER_ERROR", "no JSON") from None
    if not isinstance(told, dict):
        raise Refusal("JSON_PARSER_ERROR", "an object is wanted")
    return told
