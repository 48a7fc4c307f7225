"""`Salesforce`: one company's, spoken to by its REST API: describe, SOQL page by page, upserts by an external id.

Every call goes through one session (factory/connectors/web): it waits, is repeated where that harms nothing, and has a
new token where the old one has expired, those of the Bulk API 2.0 (jobs.py) too.
"""

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from factory.connectors.salesforce.objects import SObject
from factory.connectors.salesforce.soql import checked_name
from factory.connectors.web.access import Access
from factory.connectors.web.session import Patience, Reply, Service
from factory.errors import ServiceBusy, ServiceError, ServiceGarbled, ServiceRefused

VERSION = "59.0"
"""Of the API; Salesforce serves one for years after newer ones came."""
MOST_RECORDS = 200
"""So many records one call may write."""
_LONGEST_QUERY = 8_000
"""Signs of a query that fits into an address."""
_FRESH_S = 60.0
_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_DATA = f"services/data/v{VERSION}"
_LIMITS = ("REQUEST_LIMIT_EXCEEDED", "TXN_SECURITY_METERING_ERROR", "SERVER_UNAVAILABLE", "UNABLE_TO_LOCK_ROW")
_REMEDIES = {
    "INVALID_TYPE": "mend the object's name, or let the integration's user see it",
    "NOT_FOUND": "mend the object's name, or let the integration's user see it",
    "INVALID_FIELD": "mend the field's name, or let the integration's user see it (field-level security)",
    "INVALID_SESSION_ID": "let the connected app's user call the API",
    "API_DISABLED_FOR_ORG": "this edition of Salesforce has no API",
    "INSUFFICIENT_ACCESS": "let the integration's user do this",
    "QUERY_TIMEOUT": "give the table a cursor that Salesforce has an index of, such as SystemModstamp",
}


class Upserted(NamedTuple):
    """What became of one record: its id where it was written, Salesforce's words where not."""

    record_id: str = ""
    refusal: str = ""
    code: str = ""

    @property
    def is_busy(self) -> bool:
        """Whether the same record may be taken later, as where another process holds a lock on it."""
        return self.code in _LIMITS


class Salesforce:
    """A session with one company's Salesforce, at an address such as `https://my-org.my.salesforce.com`."""

    def __init__(self, address: str, access: Access | None = None, **options: Any) -> None:
        """Open it; `options` are those of `Service`: `patience`, `sleep`, `clock`, `chance`."""
        self.patience: Patience = options.get("patience") or Patience()
        self._service = Service(address, access, **options)
        self._described: dict[str, tuple[float, SObject]] = {}

    def __enter__(self) -> "Salesforce":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._service.close()

    def call(self, method: str, path: str, **options: Any) -> Reply:
        """Return the answer of a resource beneath the API's address; `options` are those of `Service.call`.

        Raises ServiceError: ServiceBusy where the calls of a day are used up, ServiceRefused with what to do.
        """
        path = path.lstrip("/")
        try:
            return self._service.call(method, path if path.startswith("services/") else f"{_DATA}/{path}", **options)
        except ServiceRefused as error:
            raise _understood(error) from error

    def describe(self, name: str) -> SObject:
        """Return an object as describe tells it, asked once a minute; raises ServiceError, SourceError."""
        asked_at, sobject = self._described.get(name, (-_FRESH_S, None))
        if sobject is None or time.monotonic() - asked_at > _FRESH_S:
            told = _object(self.call("GET", f"sobjects/{checked_name(name)}/describe"))
            sobject = SObject.of(told)
            self._described[name] = time.monotonic(), sobject
        return sobject

    def count(self, soql: str, *, with_deleted: bool = False) -> int:
        """Return how many records a query of COUNT() finds; raises ServiceError."""
        return _size(self._query(soql, with_deleted=with_deleted))

    def aggregates(self, soql: str, *, with_deleted: bool = False) -> list[Mapping[str, Any]] | None:
        """Return the rows of an aggregate query; None where there are more groups than Salesforce counts."""
        try:
            return [one for page in self.pages(soql, with_deleted=with_deleted) for one in page]
        except ServiceRefused as error:
            if "EXCEEDED_ID_LIMIT" in error.body:
                return None
            raise

    def pages(self, soql: str, *, with_deleted: bool = False) -> Iterator[list[Mapping[str, Any]]]:
        """Yield a query's records page by page; raises ServiceError, also where pages lack or repeat some."""
        told = self._query(soql, with_deleted=with_deleted)
        expected, came, seen = _size(told), 0, set[str]()
        while True:
            records = _records(told)
            came += len(records)
            yield records
            if told.get("done"):
                break
            following = str(told.get("nextRecordsUrl") or "")
            if not following.startswith("/services/data/") or following in seen or not records:
                raise ServiceGarbled(f"a query's page of {len(records)} records names {following!r} as the next one")
            seen.add(following)
            told = _object(self.call("GET", following))
        if came != expected:
            raise ServiceGarbled(f"a query has {expected:,} records by Salesforce's count, and {came:,} came")

    @staticmethod
    def fits(soql: str) -> bool:
        """Whether a query is short enough for an address."""
        return len(quote(soql)) <= _LONGEST_QUERY

    def upsert(self, name: str, key: str, value: str, fields: Mapping[str, Any]) -> Upserted:
        """Write one record by its external id; raises ServiceError but where the record itself is refused.

        It may be sent twice: the external id makes one record of both.
        """
        path = f"sobjects/{checked_name(name)}/{checked_name(key)}/{quote(value, safe='')}"
        try:
            told = _object(self.call("PATCH", path, json=dict(fields), repeatable=True))
        except ServiceRefused as error:
            if error.status in (400, 404, 300):
                return _refused(error)
            raise
        return Upserted(record_id=str(told.get("id") or ""))

    def upsert_collection(self, name: str, key: str, records: Sequence[Mapping[str, Any]]) -> list[Upserted]:
        """Write up to 200 records by their external ids, each by itself; raises ServiceError."""
        kind = {"attributes": {"type": checked_name(name)}}
        body = {"allOrNone": False, "records": [{**kind, **record} for record in records]}
        path = f"composite/sobjects/{kind['attributes']['type']}/{checked_name(key)}"
        told = self.call("PATCH", path, json=body, repeatable=True).json()
        if not isinstance(told, list) or len(told) != len(records):
            raise ServiceGarbled(f"of {len(records)} records Salesforce answers to another number")
        return [_of_collection(one) for one in told]

    def _query(self, soql: str, *, with_deleted: bool) -> Mapping[str, Any]:
        return _object(self.call("GET", "queryAll" if with_deleted else "query", params={"q": soql}))


_sessions: dict[tuple[str, str], Salesforce] = {}
_opening = threading.Lock()


def shared_session(address: str, access: Access | None) -> Salesforce:
    """Return this process's session with a Salesforce: a log-in, and a describe, count against its limits.

    It stays open as long as the process runs. Raises ServiceUnreachable, EnvironmentRefused.
    """
    key = address, repr(access)
    with _opening:
        if key not in _sessions:
            _sessions[key] = Salesforce(address, access)
        return _sessions[key]


def _of_collection(told: Mapping[str, Any]) -> Upserted:
    if told.get("success"):
        return Upserted(record_id=str(told.get("id") or ""))
    errors = told.get("errors") or [{}]
    words = "; ".join(f"{one.get('statusCode')}: {one.get('message')}" for one in errors)
    return Upserted(refusal=words, code=str(errors[0].get("statusCode") or ""))


def _refused(error: ServiceRefused) -> Upserted:
    code = code_of(error)
    return Upserted(refusal=error.body or str(error), code=code)


def code_of(error: ServiceRefused) -> str:
    """Return Salesforce's own code of a refusal, such as INVALID_FIELD; empty where it gives none."""
    try:
        told = json.loads(error.body)
        return str(told[0]["errorCode"] if isinstance(told, list) else told["error"])
    except (ValueError, LookupError, TypeError):
        return ""


def _understood(error: ServiceRefused) -> ServiceError:
    """Return a refusal as what it means: a limit is no refusal, and others have a remedy of their own."""
    code = code_of(error)
    if code in _LIMITS:
        return ServiceBusy(f"{error}: the limit of Salesforce's API is reached; it is lifted within 24 hours")
    if remedy := _REMEDIES.get(code):
        words = f"{error} ({remedy})"
        return ServiceRefused(words, status=error.status, headers=error.headers, body=error.body)
    return error


def _value(reply: Reply) -> Any:
    """Return an answer's value, its whole numbers as ints and all others as Decimals."""
    try:
        return _DECODER.decode(reply.body)
    except msgspec.MsgspecError:
        return reply.json()  # which says what is wrong


def _object(reply: Reply) -> Mapping[str, Any]:
    told = _value(reply)
    if not isinstance(told, dict):
        raise ServiceGarbled(f"{reply.url} answers {type(told).__name__} where an object should be")
    return told


def _size(told: Mapping[str, Any]) -> int:
    size = told.get("totalSize")
    if not isinstance(size, int):
        raise ServiceGarbled(f"a query's answer does not say how many records there are: {str(told)[:200]}")
    return size


def _records(told: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    records = told.get("records")
    if not isinstance(records, list) or not all(isinstance(one, dict) for one in records):
        raise ServiceGarbled(f"a query's answer has no records: {str(told)[:200]}")
    return records
