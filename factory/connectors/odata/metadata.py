"""What a service says of itself in `$metadata`: entity sets, their keys and properties; of V2 with SAP's own notes.

The document is XML (CSDL); the namespaces of both versions are passed over, for names are alike in them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal
from xml.etree import ElementTree

from factory.errors import ServiceGarbled

Version = Literal["V2", "V4"]
_SAP = "{http://www.sap.com/Protocols/SAPData}"
_NO_VALUES = ("Edm.Stream",)


@dataclass(frozen=True, kw_only=True)
class Property:
    """One property of an entity type; lengths are of characters, None where there is no limit."""

    name: str
    kind: str
    nullable: bool = True
    max_length: int | None = None
    precision: int | None = None
    scale: int | None = None
    creatable: bool = True
    updatable: bool = True
    filterable: bool = True
    sortable: bool = True


@dataclass(frozen=True, kw_only=True)
class EntitySet:
    """A set of entities: a table."""

    name: str
    type_name: str
    """The entity type with its namespace."""
    key: tuple[str, ...]
    properties: Mapping[str, Property]
    creatable: bool = True
    updatable: bool = True


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What a service has."""

    version: Version
    sets: Mapping[str, EntitySet]


@dataclass
class _Restrictions:
    """What annotations of V4 say of entity sets and properties, by their targets."""

    computed: set[str] = field(default_factory=set)
    immutable: set[str] = field(default_factory=set)
    not_filterable: set[str] = field(default_factory=set)
    not_sortable: set[str] = field(default_factory=set)
    not_insertable: set[str] = field(default_factory=set)


def metadata_of(document: bytes, address: str) -> Metadata:
    """Return what a `$metadata` document says; raises ServiceGarbled."""
    try:
        if b"<!DOCTYPE" in document or b"<!ENTITY" in document:
            raise ValueError("it declares a document type")
        root = ElementTree.fromstring(document)  # noqa: S314  no entities: expat expands none without a declaration
        if _name(root) != "Edmx":
            raise ValueError(f"it begins with {_name(root)!r}")
        version: Version = "V4" if root.get("Version", "").startswith("4") else "V2"
        return Metadata(version=version, sets={one.name: one for one in _sets(root)})
    except (ElementTree.ParseError, ValueError, KeyError, RecursionError) as error:
        start = " ".join(document[:80].decode(errors="replace").split())
        raise ServiceGarbled(
            f"{address}/$metadata is no description of an OData service ({error}): {start}; is the address that of the "
            "service's root, and may this user or token read it?"
        ) from None


def _sets(root: ElementTree.Element) -> Iterator[EntitySet]:
    types: dict[str, ElementTree.Element] = {}
    for schema in _within(root, "Schema"):
        for one in _children(schema, "EntityType"):
            types |= {f"{space}.{one.get('Name')}": one for space in (schema.get("Namespace"), schema.get("Alias"))}
    notes = _restrictions(root)
    for schema in _within(root, "Schema"):
        for container in _children(schema, "EntityContainer"):
            for one in _children(container, "EntitySet"):
                name, type_name = one.get("Name", ""), one.get("EntityType", "")
                key, properties = _type(type_name, types)
                targets = [
                    f"{space}.{container.get('Name')}/{name}"
                    for space in (schema.get("Namespace"), schema.get("Alias"))
                ]
                yield EntitySet(
                    name=name,
                    type_name=type_name,
                    key=key,
                    properties={one.name: _noted(one, type_name, targets, notes) for one in properties},
                    creatable=one.get(f"{_SAP}creatable") != "false" and not notes.not_insertable & set(targets),
                    updatable=one.get(f"{_SAP}updatable") != "false",
                )


def _type(name: str, types: Mapping[str, ElementTree.Element]) -> tuple[tuple[str, ...], list[Property]]:
    """Return the key and the properties of an entity type, those that it inherits first."""
    element = types[name]
    base = element.get("BaseType")
    key, properties = _type(base, types) if base else ((), [])
    for one in _children(element, "Key"):
        key = tuple(part.get("Name", "") for part in _children(one, "PropertyRef"))
    own = [_property(one) for one in _children(element, "Property") if one.get("Type") not in _NO_VALUES]
    return key, [*properties, *own]


def _property(element: ElementTree.Element) -> Property:
    terms = {
        (one.get("Term") or "").rpartition(".")[2]
        for one in _children(element, "Annotation")
        if one.get("Bool") != "false"
    }
    return Property(
        name=element.get("Name", ""),
        kind=element.get("Type", ""),
        nullable=element.get("Nullable", "true") != "false",
        max_length=_number(element.get("MaxLength")),
        precision=_number(element.get("Precision")),
        scale=_number(element.get("Scale")),
        creatable=element.get(f"{_SAP}creatable") != "false" and "Computed" not in terms,
        updatable=element.get(f"{_SAP}updatable") != "false" and not terms & {"Computed", "Immutable"},
        filterable=element.get(f"{_SAP}filterable") != "false",
        sortable=element.get(f"{_SAP}sortable") != "false",
    )


def _restrictions(root: ElementTree.Element) -> _Restrictions:
    notes = _Restrictions()
    for annotations in _within(root, "Annotations"):
        target = annotations.get("Target", "")
        for one in _children(annotations, "Annotation"):
            term = (one.get("Term") or "").rpartition(".")[2]
            if term in ("Computed", "Immutable") and one.get("Bool") != "false":
                (notes.computed if term == "Computed" else notes.immutable).add(target)
            paths = {f"{target}/{path.text}" for path in _within(one, "PropertyPath")}
            if term == "FilterRestrictions":
                notes.not_filterable |= paths
            elif term == "SortRestrictions":
                notes.not_sortable |= paths
            elif term == "InsertRestrictions" and any(
                value.get("Property") == "Insertable" and value.get("Bool") == "false"
                for value in _within(one, "PropertyValue")
            ):
                notes.not_insertable.add(target)
    return notes


def _noted(one: Property, type_name: str, sets: list[str], notes: _Restrictions) -> Property:
    """Return a property with what annotations outside of it say."""
    of_type, of_sets = f"{type_name}/{one.name}", {f"{name}/{one.name}" for name in sets}
    return Property(
        **{
            **vars(one),
            "creatable": one.creatable and of_type not in notes.computed,
            "updatable": one.updatable and of_type not in notes.computed | notes.immutable,
            "filterable": one.filterable and not of_sets & notes.not_filterable,
            "sortable": one.sortable and not of_sets & notes.not_sortable,
        }
    )


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _children(element: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    return (child for child in element if _name(child) == name)


def _within(element: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    return (child for child in element.iter() if _name(child) == name)
