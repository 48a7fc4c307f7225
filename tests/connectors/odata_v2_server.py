"""A service that speaks OData V2 as SAP's gateway does.

It has metadata with SAP's notes, paging, tokens against forged requests in a session's cookie, entity tags, and batches
whose change sets are done whole or not at all.

Written from the published protocol (OData 2.0, "Batch Processing", and SAP's "Cross-Site Request Forgery Protection").
"""

import json
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from tests.connectors.https import Answer, Asked

EPOCH = datetime(1970, 1, 1)
ROOT = "/sap/opu/odata/sap/API_TEST"


@dataclass(frozen=True)
class Field:
    """A property: its type and facets, and SAP's notes as attributes."""

    kind: str
    facets: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Entities:
    """An entity set: its properties, its key, and its entities by their key."""

    fields: dict[str, Field]
    key: tuple[str, ...]
    rows: list[dict[str, Any]] = field(default_factory=list)
    numbered: str = ""
    """The property that the service itself gives to a new entity: its key."""
    versions: dict[tuple[Any, ...], int] = field(default_factory=dict)

    def key_of(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(row[name] for name in self.key)

    def etag(self, row: Mapping[str, Any]) -> str:
        return f"W/\"'{self.versions.get(self.key_of(row), 1)}'\""


class RefusedError(Exception):
    """What the service says no with."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, dict(headers or {})


@dataclass
class V2Service:
    """Entity sets by their names, and how the service gives them."""

    sets: dict[str, Entities]
    page_size: int = 0
    """Server-driven paging; 0 for none."""
    refuses_filter: Callable[[str], bool] = lambda _: False
    """What of `$filter` the service does not support."""
    counts: bool = True
    before: Callable[[Asked], Answer | None] = lambda _: None
    """Called before each request; what it returns is answered."""
    after: Callable[[Asked], None] = lambda _: None
    """Called when a request was done, before it is answered: to lose the answer, raise ConnectionError."""
    client: str = ""
    """The `sap-client` that each request must name."""
    sessions: dict[str, str] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __call__(self, asked: Asked) -> Answer:
        with self.lock:
            early = self.before(asked)
            if early is not None:
                return early
            answer = self._answered(asked)
            try:
                self.after(asked)
            except ConnectionError:
                return Answer(drop=True)
            return answer

    def expire_sessions(self) -> None:
        self.sessions.clear()

    def _answered(self, asked: Asked) -> Answer:
        try:
            if self.client and asked.params.get("sap-client") != self.client:
                raise RefusedError(401, "logon failed: client")
            headers = self._session(asked)
            path = unquote(asked.path).removeprefix(ROOT).strip("/")
            if path == "$batch":
                answer = self._batch(asked)
            else:
                answer = self._one(asked.method, path, asked.params, asked.headers, asked.body)
            return Answer(answer.status, answer.body, {**answer.headers, **headers})
        except RefusedError as refusal:
            return _refusal(refusal)

    def _session(self, asked: Asked) -> dict[str, str]:
        """Return the headers of a session; raises RefusedError where a change lacks the token of its session."""
        cookie = SimpleCookie(asked.headers.get("cookie", "")).get("SAP_SESSIONID_TST_100")
        session = cookie.value if cookie else ""
        said = asked.headers.get("x-csrf-token", "")
        if asked.method in ("GET", "HEAD"):
            if said.lower() != "fetch":
                return {}
            if session not in self.sessions:
                session = secrets.token_hex(8)
                self.sessions[session] = secrets.token_urlsafe(16) + "=="
            cookies = [f"SAP_SESSIONID_TST_100={session}; path=/; secure; HttpOnly", "sap-usercontext=client; path=/"]
            return {"x-csrf-token": self.sessions[session], "Set-Cookie": "\n".join(cookies)}
        if not said or self.sessions.get(session) != said:
            raise RefusedError(403, "CSRF token validation failed", {"x-csrf-token": "Required"})
        return {}

    def _one(self, method: str, path: str, params: dict[str, str], headers: Mapping[str, str], body: bytes) -> Answer:
        if path == "":
            return _json(200, {"d": {"EntitySets": list(self.sets)}})
        if path == "$metadata":
            return Answer(200, self.metadata().encode(), {"Content-Type": "application/xml"})
        return self._of_set(method, path, params, headers, body)

    def _of_set(
        self, method: str, path: str, params: dict[str, str], headers: Mapping[str, str], body: bytes
    ) -> Answer:
        said = re.fullmatch(r"(\w+)(?:\((.*)\))?(/\$count)?", path)
        if not said or said[1] not in self.sets:
            raise RefusedError(404, f"Resource not found for the segment '{path}'")
        entities = self.sets[said[1]]
        if said[3]:
            if not self.counts:
                raise RefusedError(501, "$count is not supported")
            return Answer(200, str(len(self._filtered(entities, params))).encode(), {"Content-Type": "text/plain"})
        if said[2] is not None:
            return self._entity(method, said[1], entities, said[2], headers, body)
        if method == "POST":
            return self._created(said[1], entities, json.loads(body))
        if method != "GET":
            raise RefusedError(405, "Method not allowed")
        return self._listed(said[1], entities, params)

    def _filtered(self, entities: Entities, params: dict[str, str]) -> list[dict[str, Any]]:
        text = params.get("$filter", "")
        if text and self.refuses_filter(text):
            raise RefusedError(400, f"the filter {text} is not supported")
        keeps = Filter(text, entities.fields).keeps if text else lambda _: True
        return [row for row in entities.rows if keeps(row)]

    def _listed(self, name: str, entities: Entities, params: dict[str, str]) -> Answer:
        rows = self._filtered(entities, params)
        total = len(rows)
        for part in reversed(params.get("$orderby", "").split(",")) if params.get("$orderby") else []:
            column, _, way = part.strip().partition(" ")
            rows.sort(key=lambda row, column=column: (row[column] is not None, row[column]), reverse=way == "desc")
        start = int(params.get("$skiptoken", 0)) + int(params.get("$skip", 0))
        rows = rows[start:]
        rows = rows[: int(params["$top"])] if "$top" in params else rows
        document: dict[str, Any] = {}
        if self.page_size and len(rows) > self.page_size:
            rows = rows[: self.page_size]
            kept = {key: text for key, text in params.items() if key not in ("$skiptoken", "$skip", "sap-client")}
            if "$top" in kept:
                kept["$top"] = str(int(kept["$top"]) - self.page_size)
            query = "&".join(f"{key}={quote(text)}" for key, text in kept.items())
            # as behind a gateway that ends TLS: its own idea of scheme and port
            document["__next"] = f"http://127.0.0.1{ROOT}/{name}?{query}&$skiptoken={start + self.page_size}"
        wanted = params["$select"].split(",") if "$select" in params else list(entities.fields)
        if unknown := [one for one in wanted if one not in entities.fields]:
            raise RefusedError(400, f"Property {unknown[0]} not found")
        document["results"] = [self._shown(name, entities, row, wanted) for row in rows]
        if params.get("$inlinecount") == "allpages":
            document["__count"] = str(total)
        return _json(200, {"d": document})

    def _shown(self, name: str, entities: Entities, row: Mapping[str, Any], wanted: list[str]) -> dict[str, Any]:
        key = ",".join(f"{one}={literal(row[one], entities.fields[one].kind)}" for one in entities.key)
        about = {"id": f"{ROOT}/{name}({key})", "uri": f"{ROOT}/{name}({key})", "type": f"TEST.{name}Type"}
        shown = {one: to_json(row[one], entities.fields[one].kind) for one in wanted}
        return {"__metadata": {**about, "etag": entities.etag(row)}, **shown, "to_Items": {"__deferred": {"uri": "x"}}}

    def _entity(
        self, method: str, name: str, entities: Entities, key: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        row = self._at(entities, key)
        tag = entities.etag(row)
        if method == "GET":
            answer = _json(200, {"d": self._shown(name, entities, row, list(entities.fields))})
            return Answer(200, answer.body, {**answer.headers, "ETag": tag})
        if "if-match" not in headers:
            raise RefusedError(428, "If-Match is required")
        if headers["if-match"] not in ("*", tag):
            raise RefusedError(412, "Precondition failed: the entity was changed meanwhile")
        if method == "DELETE":
            entities.rows.remove(row)
            return Answer(204)
        if method not in ("MERGE", "PATCH", "PUT"):
            raise RefusedError(405, "Method not allowed")
        changed = self._checked(entities, json.loads(body), "updatable")
        row.update(changed)
        entities.versions[entities.key_of(row)] = entities.versions.get(entities.key_of(row), 1) + 1
        return Answer(204, headers={"ETag": entities.etag(row)})

    def _at(self, entities: Entities, key: str) -> dict[str, Any]:
        parts = dict(re.findall(r"(\w+)=((?:'(?:[^']|'')*'|[^,'])+)", key)) if "=" in key else {entities.key[0]: key}
        wanted = tuple(from_literal(parts[name], entities.fields[name].kind) for name in entities.key)
        for row in entities.rows:
            if entities.key_of(row) == wanted:
                return row
        raise RefusedError(404, f"Resource not found for key {key}")

    def _created(self, name: str, entities: Entities, document: dict[str, Any]) -> Answer:
        given = self._checked(entities, document, "creatable")
        row = {one: given.get(one) for one in entities.fields}
        if entities.numbered:
            row[entities.numbered] = f"{10_000_000 + len(entities.rows) + 1:012d}"
        if any(entities.key_of(row) == entities.key_of(other) for other in entities.rows):
            raise RefusedError(400, "Entity exists already")
        entities.rows.append(row)
        shown = self._shown(name, entities, row, list(entities.fields))
        answer = _json(201, {"d": shown})
        return Answer(
            201, answer.body, {**answer.headers, "Location": shown["__metadata"]["uri"], "ETag": entities.etag(row)}
        )

    def _checked(self, entities: Entities, document: dict[str, Any], note: str) -> dict[str, Any]:
        values = {}
        for name, value in document.items():
            if name not in entities.fields:
                raise RefusedError(400, f"Property {name} is invalid")
            one = entities.fields[name]
            if one.notes.get(note) == "false":
                raise RefusedError(400, f"Property {name} is not {note}")
            try:
                values[name] = from_json(value, one.kind)
            except (ValueError, TypeError, ArithmeticError) as error:
                raise RefusedError(400, f"Property {name} has invalid value {value!r}") from error
            if isinstance(values[name], str) and len(values[name]) > int(one.facets.get("MaxLength", 1 << 30)):
                raise RefusedError(400, f"Property {name}: value is too long")
        return values

    def _batch(self, asked: Asked) -> Answer:
        boundary = _boundary(asked.headers["content-type"])
        answered = [self._part(part) for part in _parts(asked.body, boundary)]
        ours = f"batch_{secrets.token_hex(6)}"
        body = b"".join(f"--{ours}\r\n".encode() + part + b"\r\n" for part in answered) + f"--{ours}--\r\n".encode()
        return Answer(202, body, {"Content-Type": f"multipart/mixed; boundary={ours}"})

    def _part(self, part: bytes) -> bytes:
        headers, body = _split(part)
        kind = headers.get("content-type", "")
        if not kind.startswith("multipart/mixed"):
            return _http(self._inner(body), "")
        kept = {name: (deepcopy(one.rows), dict(one.versions)) for name, one in self.sets.items()}
        boundary, answers = _boundary(kind), []
        for change in _parts(body, boundary):
            about, inner = _split(change)
            answer = self._inner(inner)
            if answer.status >= 400:
                for name, (rows, versions) in kept.items():
                    self.sets[name].rows[:], self.sets[name].versions = rows, versions
                return _http(answer, "")
            answers.append(_http(answer, about.get("content-id", "")))
        ours = f"changeset_{secrets.token_hex(6)}"
        inside = b"".join(f"--{ours}\r\n".encode() + one + b"\r\n" for one in answers) + f"--{ours}--\r\n".encode()
        return (
            f"Content-Type: multipart/mixed; boundary={ours}\r\nContent-Length: {len(inside)}\r\n\r\n".encode() + inside
        )

    def _inner(self, request: bytes) -> Answer:
        line, _, rest = request.partition(b"\r\n")
        method, target, _ = line.decode().split(" ")
        headers, body = _split(rest)
        parts = urlsplit(target)
        path = unquote(parts.path).removeprefix(ROOT).strip("/")
        try:
            return self._one(method, path, dict(parse_qsl(parts.query, keep_blank_values=True)), headers, body)
        except RefusedError as refusal:
            return _refusal(refusal)

    def metadata(self) -> str:
        """Return the service's description, as SAP's gateway writes it."""
        types, sets = [], []
        for name, entities in self.sets.items():
            keys = "".join(f'<PropertyRef Name="{key}"/>' for key in entities.key)
            properties = "".join(
                f'<Property Name="{one}" Type="{about.kind}" Nullable="{"false" if one in entities.key else "true"}"'
                + "".join(f' {facet}="{value}"' for facet, value in about.facets.items())
                + "".join(f' sap:{note}="{value}"' for note, value in about.notes.items())
                + "/>"
                for one, about in entities.fields.items()
            )
            types.append(
                f'<EntityType Name="{name}Type" sap:content-version="1"><Key>{keys}</Key>{properties}'
                f'<NavigationProperty Name="to_Items" Relationship="TEST.R" FromRole="A" ToRole="B"/></EntityType>'
            )
            sets.append(f'<EntitySet Name="{name}" EntityType="TEST.{name}Type" sap:content-version="1"/>')
        first = next(iter(self.sets))
        return (
            '<?xml version="1.0" encoding="utf-8"?>'
            '<edmx:Edmx Version="1.0" xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx" '
            'xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata" '
            'xmlns:sap="http://www.sap.com/Protocols/SAPData"><edmx:DataServices m:DataServiceVersion="2.0">'
            '<Schema Namespace="TEST" xmlns="http://schemas.microsoft.com/ado/2008/09/edm">'
            + "".join(types)
            + f'<Association Name="R"><End Type="TEST.{first}Type" Multiplicity="1" Role="A"/>'
            f'<End Type="TEST.{first}Type" Multiplicity="*" Role="B"/></Association>'
            '<EntityContainer Name="TEST_Entities" m:IsDefaultEntityContainer="true">'
            + "".join(sets)
            + "</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>"
        )


class Filter:
    """What `$filter` says, of comparisons, `and`, `or`, `not` and brackets."""

    _TOKEN = re.compile(r"\s*(\(|\)|[a-z]+'(?:[^']|'')*'|'(?:[^']|'')*'|[^\s()]+)")

    def __init__(self, text: str, fields: Mapping[str, Field]) -> None:
        self.tokens = self._TOKEN.findall(text)
        self.fields = fields
        self.keeps = self._any()
        if self.tokens:
            raise RefusedError(400, f"syntax error in filter at {self.tokens[0]!r}")

    def _any(self) -> Callable[[Mapping[str, Any]], bool]:
        choices = [self._all()]
        while self.tokens[:1] == ["or"]:
            self.tokens.pop(0)
            choices.append(self._all())
        return lambda row: any(one(row) for one in choices)

    def _all(self) -> Callable[[Mapping[str, Any]], bool]:
        parts = [self._one()]
        while self.tokens[:1] == ["and"]:
            self.tokens.pop(0)
            parts.append(self._one())
        return lambda row: all(one(row) for one in parts)

    def _one(self) -> Callable[[Mapping[str, Any]], bool]:
        if self.tokens[:1] == ["("]:
            self.tokens.pop(0)
            inside = self._any()
            if self.tokens[:1] != [")"]:
                raise RefusedError(400, "a bracket is not closed")
            self.tokens.pop(0)
            return inside
        if len(self.tokens) < 3 or self.tokens[0] not in self.fields:
            raise RefusedError(400, f"filter: no property {self.tokens[:1]}")
        name, sign, text = (self.tokens.pop(0) for _ in range(3))
        value = None if text == "null" else from_literal(text, self.fields[name].kind)

        def compared(row: Mapping[str, Any]) -> bool:
            ours = row[name]
            if sign in ("eq", "ne"):
                return (ours == value) == (sign == "eq")
            if ours is None or value is None:
                return False
            return {"gt": ours > value, "ge": ours >= value, "lt": ours < value, "le": ours <= value}[sign]

        return compared


def to_json(value: Any, kind: str) -> Any:
    """Return a value as verbose JSON of V2 has it."""
    if value is None or kind in (
        "Edm.String",
        "Edm.Boolean",
        "Edm.Guid",
        "Edm.Time",
        "Edm.Int32",
        "Edm.Int16",
        "Edm.Byte",
    ):
        return value
    if kind == "Edm.DateTime":
        return f"/Date({(value - EPOCH) // timedelta(milliseconds=1)})/"
    if kind == "Edm.DateTimeOffset":
        minutes = value.utcoffset() // timedelta(minutes=1)
        return f"/Date({(value.replace(tzinfo=None) - EPOCH) // timedelta(milliseconds=1)}{minutes:+05d})/"
    return str(value)


def from_json(value: Any, kind: str) -> Any:
    """Return what verbose JSON says; raises ValueError."""
    if value is None:
        return None
    if kind in ("Edm.Int64", "Edm.Decimal", "Edm.Double") and not isinstance(value, str):
        raise ValueError("a number of this type is a string")
    if kind.startswith("Edm.DateTime"):
        said = re.fullmatch(r"/Date\((-?\d+)([+-]\d+)?\)/", value)
        if not said:
            raise ValueError("no moment")
        moment = EPOCH + timedelta(milliseconds=int(said[1]))
        return (
            moment.replace(tzinfo=timezone(timedelta(minutes=int(said[2] or 0)))) if kind.endswith("Offset") else moment
        )
    types = {
        "Edm.Int64": int,
        "Edm.Int32": int,
        "Edm.Int16": int,
        "Edm.Byte": int,
        "Edm.Decimal": Decimal,
        "Edm.Double": float,
    }
    if kind in ("Edm.Int32", "Edm.Int16", "Edm.Byte") and (isinstance(value, bool) or not isinstance(value, int)):
        raise ValueError("no whole number")
    if kind == "Edm.Boolean" and not isinstance(value, bool):
        raise ValueError("no boolean")
    if kind in ("Edm.String", "Edm.Guid", "Edm.Time") and not isinstance(value, str):
        raise ValueError("no text")
    return types[kind](value) if kind in types else value


def literal(value: Any, kind: str) -> str:
    """Return a value as a literal of a URL."""
    if kind == "Edm.String":
        return "'" + value.replace("'", "''") + "'"
    if kind == "Edm.DateTime":
        return f"datetime'{value.isoformat()}'"
    if kind == "Edm.DateTimeOffset":
        return f"datetimeoffset'{value.astimezone(UTC).replace(tzinfo=None).isoformat()}Z'"
    if kind == "Edm.Guid":
        return f"guid'{value}'"
    return f"{value}{ {'Edm.Int64': 'L', 'Edm.Decimal': 'M', 'Edm.Double': 'd'}.get(kind, '') }"


def from_literal(text: str, kind: str) -> Any:
    """Return what a literal of a URL says; raises RefusedError for one of another type."""
    patterns = {
        "Edm.String": (r"'((?:[^']|'')*)'", lambda said: said.replace("''", "'")),
        "Edm.DateTime": (r"datetime'([\dT:.-]+)'", datetime.fromisoformat),
        "Edm.DateTimeOffset": (r"datetimeoffset'([\dT:.+Z-]+)'", datetime.fromisoformat),
        "Edm.Guid": (r"guid'([\w-]+)'", str),
        "Edm.Time": (r"time'(\w+)'", str),
        "Edm.Int64": (r"(-?\d+)[Ll]", int),
        "Edm.Int32": (r"(-?\d+)", int),
        "Edm.Decimal": (r"(-?\d+(?:\.\d+)?)[Mm]", Decimal),
        "Edm.Double": (r"(-?\d+(?:\.\d+)?(?:[eE]-?\d+)?)[Dd]", float),
        "Edm.Boolean": (r"(true|false)", lambda said: said == "true"),
    }
    pattern, read = patterns[kind]
    said = re.fullmatch(pattern, text)
    if not said:
        raise RefusedError(400, f"{text} is no literal of {kind}")
    return read(said[1])


def _json(status: int, document: Any) -> Answer:
    return Answer(status, json.dumps(document).encode(), {"Content-Type": "application/json"})


def _refusal(refusal: RefusedError) -> Answer:
    error = {"error": {"code": "TEST/001", "message": {"lang": "en", "value": str(refusal)}}}
    answer = _json(refusal.status, error)
    return Answer(answer.status, answer.body, {**answer.headers, **refusal.headers})


def _http(answer: Answer, content_id: str) -> bytes:
    head = f"HTTP/1.1 {answer.status} {'OK' if answer.status < 400 else 'Refused'}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
    head += f"Content-Length: {len(answer.body)}\r\n\r\n"
    whole = head.encode() + answer.body
    about = f"Content-Type: application/http\r\nContent-Length: {len(whole)}\r\ncontent-transfer-encoding: binary\r\n"
    about += f"Content-ID: {content_id}\r\n" if content_id else ""
    return about.encode() + b"\r\n" + whole


def _boundary(kind: str) -> str:
    said = re.search(r'boundary="?([^";]+)"?', kind)
    if not said:
        raise RefusedError(400, "no boundary")
    return said[1]


def _parts(body: bytes, boundary: str) -> list[bytes]:
    mark = b"--" + boundary.encode()
    pieces = body.split(mark)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise RefusedError(400, "the batch is not ended by its boundary")
    return [piece.removeprefix(b"\r\n").removesuffix(b"\r\n") for piece in pieces[1:-1]]


def _split(part: bytes) -> tuple[dict[str, str], bytes]:
    if part.startswith(b"\r\n"):
        return {}, part[2:]
    head, _, body = part.partition(b"\r\n\r\n")
    lines = (line.partition(":") for line in head.decode().split("\r\n") if line)
    return {name.strip().lower(): value.strip() for name, _, value in lines}, body
