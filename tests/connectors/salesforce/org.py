"""What the tests' Salesforce holds: objects with fields and records, and what Salesforce itself does with them.

Records keep values as the REST API writes them: texts, Decimals, booleans, moments such as
`2026-03-01T08:00:00.000+0000`.
"""

import itertools
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tests.connectors.salesforce.soql import Query, comparable, parse

_MOST_GROUPS = 2000
_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


class Refusal(Exception):  # noqa: N818  as its errors are called
    """What Salesforce says no to: its error code, words and fields."""

    def __init__(self, code: str, message: str, fields: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.code, self.message, self.fields = code, message, list(fields)

    def error(self) -> dict[str, Any]:
        return {"statusCode": self.code, "message": self.message, "fields": self.fields}


def of_field(name: str, kind: str, **told: Any) -> dict[str, Any]:
    """Return a field as describe tells it."""
    texts = ("string", "id", "reference", "picklist", "textarea", "email", "phone", "url")
    soap = {"double": "double", "currency": "double", "percent": "double", "int": "int", "boolean": "boolean"}
    return {
        "name": name,
        "label": name.removesuffix("__c"),
        "type": kind,
        "soapType": {"id": "tns:ID", "reference": "tns:ID", "datetime": "xsd:dateTime", "date": "xsd:date"}.get(
            kind, f"xsd:{soap.get(kind, 'string')}"
        ),
        "length": 255 if kind in texts else 0,
        "precision": 18 if kind in ("double", "currency", "percent") else 0,
        "scale": 2 if kind in ("double", "currency", "percent") else 0,
        "nillable": True,
        "createable": True,
        "updateable": True,
        "externalId": False,
        "idLookup": False,
        "unique": False,
        "calculated": False,
        "filterable": kind != "textarea",
        "sortable": kind != "textarea",
        "groupable": kind not in ("textarea", "datetime", "double", "currency", "percent"),
        "aggregatable": kind not in ("textarea", "boolean"),
        "defaultedOnCreate": False,
        "custom": name.endswith("__c"),
        "restrictedPicklist": False,
        "picklistValues": [],
        "compoundFieldName": None,
        "referenceTo": [],
        "relationshipName": None,
        **told,
    }


def _system_fields() -> list[dict[str, Any]]:
    own = {"createable": False, "updateable": False, "nillable": False}
    return [
        of_field("Id", "id", length=18, idLookup=True, **own),
        of_field("IsDeleted", "boolean", **own),
        of_field("CreatedDate", "datetime", **own),
        of_field("SystemModstamp", "datetime", **own),
    ]


@dataclass
class SObject:
    """One object: its fields by name, its records, and in what a record of it begins its id."""

    name: str
    prefix: str
    fields: dict[str, dict[str, Any]]
    records: list[dict[str, Any]] = field(default_factory=list)

    def describe(self) -> dict[str, Any]:
        every = {"createable": True, "updateable": True, "queryable": True, "deletable": True, "custom": True}
        return {"name": self.name, "keyPrefix": self.prefix, "fields": list(self.fields.values()), **every}


class Org:
    """One company's Salesforce. `clock` says when a record is written."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.objects: dict[str, SObject] = {}
        self.clock = clock
        self.lock = threading.RLock()
        self._numbers = itertools.count(1)

    def add_object(self, name: str, fields: Iterable[Mapping[str, Any]]) -> SObject:
        """Add an object with some fields beside those that each has."""
        described = [*_system_fields(), *map(dict, fields)]
        prefix = f"a{len(self.objects):02d}"
        self.objects[name] = SObject(name, prefix, {one["name"]: one for one in described})
        return self.objects[name]

    def sobject(self, name: str) -> SObject:
        if name not in self.objects:
            raise Refusal("INVALID_TYPE", f"sObject type '{name}' is not supported.")
        return self.objects[name]

    def insert(self, name: str, values: Mapping[str, Any]) -> str:
        """Add a record as Salesforce itself writes it; its id."""
        with self.lock:
            sobject, now = self.sobject(name), moment_text(self.clock())
            record_id = with_suffix(f"{sobject.prefix}{next(self._numbers):012d}")
            record = dict.fromkeys(sobject.fields)
            record |= {"Id": record_id, "IsDeleted": False, "CreatedDate": now, "SystemModstamp": now, **values}
            sobject.records.append(record)
            return record_id

    def delete(self, name: str, record_id: str) -> None:
        """Put a record into the recycle bin."""
        with self.lock:
            (record,) = [one for one in self.sobject(name).records if one["Id"] == record_id]
            record |= {"IsDeleted": True, "SystemModstamp": moment_text(self.clock())}

    def purge(self, name: str, record_id: str) -> None:
        """Take a record out of the recycle bin: nothing tells of it any more."""
        with self.lock:
            sobject = self.sobject(name)
            sobject.records = [one for one in sobject.records if one["Id"] != record_id]

    def upsert(self, name: str, key: str, value: Any, values: Mapping[str, Any]) -> tuple[str, bool]:
        """Write a record by its external id: the record's id, and whether it is new; raises Refusal."""
        with self.lock:
            sobject = self.sobject(name)
            described = sobject.fields.get(key)
            if described is None or not (described["externalId"] or described["idLookup"]):
                raise Refusal("INVALID_FIELD", f"Field name provided, {key} is not an External ID for {name}")
            if value in (None, ""):
                raise Refusal("MISSING_ARGUMENT", f"{key} not specified")
            wanted = comparable(value, "string")
            there = [one for one in sobject.records if not one["IsDeleted"] and _same(one[key], wanted)]
            if len(there) > 1:
                raise Refusal("DUPLICATE_EXTERNAL_ID", f"{key}: more than one record found for external id field")
            checked = {field: checked_value(sobject, field, one, is_new=not there) for field, one in values.items()}
            if there:
                there[0] |= {**checked, "SystemModstamp": moment_text(self.clock())}
                return there[0]["Id"], False
            required = [
                one["name"]
                for one in sobject.fields.values()
                if not one["nillable"] and one["createable"] and not one["defaultedOnCreate"]
            ]
            missing = [field for field in required if checked.get(field) is None and field != key]
            if missing:
                raise Refusal("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", missing)
            return self.insert(name, {**checked, key: value}), True

    def query(self, text: str, *, with_deleted: bool) -> tuple[Query, list[dict[str, Any]]]:
        """Return a query and the records it selects; raises Refusal and MalformedError."""
        with self.lock:
            asked = parse(text, lambda name: self.sobject(name).fields)
            sobject = self.sobject(asked.table)
            found = [one for one in sobject.records if (with_deleted or not one["IsDeleted"]) and asked.where(one)]
            for name, descending in reversed(asked.order_by):
                kind = sobject.fields[name]["type"]
                found.sort(key=lambda one: _sortable(comparable(one[name], kind)), reverse=descending)
            if asked.is_aggregate:
                return asked, self._groups(asked, sobject, found)[: asked.limit]
            names = [name for _, name in asked.selected]
            return asked, [{name: one[name] for name in names if name} for one in found][: asked.limit]

    @staticmethod
    def _groups(asked: Query, sobject: SObject, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {} if asked.group_by else {(): []}
        for record in found:
            key = tuple(comparable(record[name], sobject.fields[name]["type"]) for name in asked.group_by)
            groups.setdefault(key, []).append(record)
        if len(groups) > _MOST_GROUPS:
            raise Refusal("EXCEEDED_ID_LIMIT", "Aggregate query does not support queryMore(), use LIMIT")
        rows = []
        for records in groups.values():
            row: dict[str, Any] = {}
            for place, (function, name) in enumerate(asked.selected):
                if not function:
                    row[name] = records[0][name]
                    continue
                kind = sobject.fields[name]["type"] if name else ""
                there = [one for one in records if not name or one[name] is not None]
                at = f"expr{sum(bool(function) for function, _ in asked.selected[:place])}"
                row[at] = len(there)
                if function in ("MAX", "MIN"):
                    pick = max if function == "MAX" else min
                    most = pick(there, key=lambda one: comparable(one[name], kind), default=None)
                    row[at] = most and most[name]
            rows.append(row)
        return rows


def checked_value(sobject: SObject, name: str, value: Any, *, is_new: bool) -> Any:
    """Return a value as a field keeps it; raises Refusal."""
    described = sobject.fields.get(name)
    if described is None:
        raise Refusal("INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject.name}")
    if not described["createable" if is_new else "updateable"]:
        raise Refusal("INVALID_FIELD_FOR_INSERT_UPDATE", f"Unable to create/update fields: {name}.", [name])
    if value is None:
        return None
    value = _typed(described, value)
    if isinstance(value, str):
        _require_fit(described, value)
    return value


def _typed(described: Mapping[str, Any], value: Any) -> Any:
    kind = described["type"]
    try:
        if kind == "boolean":
            return {"true": True, "false": False}[str(value).lower()]
        if kind in ("double", "currency", "percent", "int"):
            return Decimal(str(value))
        return moment_text(datetime.fromisoformat(str(value))) if kind == "datetime" else str(value)
    except (KeyError, ValueError, ArithmeticError):
        name = described["name"]
        raise Refusal("JSON_PARSER_ERROR", f"Cannot deserialize {kind} of {name} from {value!r}", [name]) from None


def _require_fit(described: Mapping[str, Any], text: str) -> None:
    name = described["name"]
    if described["length"] and len(text) > described["length"]:
        raise Refusal("STRING_TOO_LONG", f"{name}: data value too large: (max length={described['length']})", [name])
    allowed = [one["value"] for one in described["picklistValues"] if one["active"]]
    if described["restrictedPicklist"] and text not in allowed:
        code = "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
        raise Refusal(code, f"bad value for restricted picklist field: {text}", [name])


def moment_text(moment: datetime) -> str:
    """Return a moment as the REST API writes it."""
    at = moment.astimezone(UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}+0000"


def with_suffix(short: str) -> str:
    """Return an id of 15 signs with the 3 that make it distinct without regard to capitals."""
    chunks = (short[:5], short[5:10], short[10:])
    return short + "".join(
        _DIGITS[sum(1 << place for place, sign in enumerate(chunk) if sign.isupper())] for chunk in chunks
    )


def _same(value: Any, wanted: Any) -> bool:
    return comparable(value, "string") == wanted


def _sortable(value: Any) -> tuple[bool, Any]:
    return value is not None, value if value is not None else 0
