"""What describe says of an object: its fields, what may be asked of them and written to them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import polars as pl

MOMENT = pl.Datetime("us", "UTC")
_UNREAD = ("address", "location", "base64", "complexvalue")
"""Kinds of fields that no table can have: the parts of an address or a place are fields of their own."""
_NUMBERS = ("double", "currency", "percent")


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of an object."""

    name: str
    kind: str
    """Salesforce's own: string, double, datetime, reference, picklist …"""
    length: int = 0
    """The most characters that a text may have; 0 where it is no text."""
    nillable: bool = True
    filterable: bool = False
    groupable: bool = False
    aggregatable: bool = False
    createable: bool = False
    updateable: bool = False
    defaulted: bool = False
    """Whether a new record gets a value that nobody gave."""
    external_id: bool = False
    choices: frozenset[str] | None = None
    """The values that Salesforce accepts; None where it accepts others too."""

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """Return a field as describe tells it."""
        listed = frozenset(one["value"] for one in told.get("picklistValues") or () if one.get("active"))
        return cls(
            name=str(told["name"]),
            kind=str(told["type"]),
            length=int(told.get("length") or 0),
            nillable=bool(told.get("nillable", True)),
            filterable=bool(told.get("filterable")),
            groupable=bool(told.get("groupable")),
            aggregatable=bool(told.get("aggregatable")),
            createable=bool(told.get("createable")),
            updateable=bool(told.get("updateable")),
            defaulted=bool(told.get("defaultedOnCreate")),
            external_id=bool(told.get("externalId")) or bool(told.get("idLookup")),
            choices=listed if told.get("restrictedPicklist") and told["type"] == "picklist" else None,
        )

    @property
    def dtype(self) -> pl.DataType:
        """The type in which the field's values come. Numbers with a fraction come as text, which rounds none."""
        types: dict[str, pl.DataType] = {
            "boolean": pl.Boolean(),
            "int": pl.Int64(),
            "datetime": MOMENT,
            "date": pl.Date(),
        }
        return types.get(self.kind, pl.String())

    @property
    def is_number(self) -> bool:
        """Whether the field holds numbers with a fraction."""
        return self.kind in _NUMBERS

    @property
    def is_exact(self) -> bool:
        """Whether Salesforce tells the field's values apart as we do: it takes `Ulm` and `ULM` for one text."""
        return self.kind in ("boolean", "int", "reference", "id") or self.choices is not None

    @property
    def is_ordered(self) -> bool:
        """Whether rows can be found by a range of the field's values, and the largest be asked for."""
        return self.filterable and self.kind in ("datetime", "date", "int")


@dataclass(frozen=True, kw_only=True)
class SObject:
    """One object: a table's worth of fields, by their names."""

    name: str
    fields: Mapping[str, Field]
    queryable: bool = True

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """Return an object as describe tells it, without the fields that no table can have."""
        fields = [Field.of(one) for one in told["fields"] if one["type"] not in _UNREAD]
        return cls(
            name=str(told["name"]),
            fields={one.name: one for one in fields},
            queryable=bool(told.get("queryable", True)),
        )
