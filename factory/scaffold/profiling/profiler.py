"""`profiled`: a place and the names a person gave in, a `Profile` out; or an error that says what to name instead."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import polars as pl

from factory.connectors.tables.arguments import TableAt, tables_of
from factory.connectors.tables.place import place_of
from factory.connectors.tables.reader import Discoverable, Narrowing, Reader
from factory.connectors.tables.readers import format_of, reader_of
from factory.connectors.tables.table_files import FilesReader
from factory.errors import SourceError
from factory.line.parsing import Parse, value_of
from factory.line.parsing.values import exactly
from factory.scaffold.profiling.association import Floats, targets_of
from factory.scaffold.profiling.counting import Counts
from factory.scaffold.profiling.dialect import dialect_of, layout_of, sheet_of
from factory.scaffold.profiling.naming import line_names, words_of
from factory.scaffold.profiling.order import TimeOrder
from factory.scaffold.profiling.profile import Column, Counting, Profile, TableProfile, quantiles_of
from factory.scaffold.profiling.shapes import Shape, shapes_of
from factory.scaffold.profiling.suspects import Suspect, leak_of, personal_data_of
from factory.scaffold.profiling.task import Target, Task, task_of

MOMENT = "Datetime[us, UTC]"
_DECIMAL_COMMA = r"^-?[\d.]*\d,\d+$"
_GROUPS = {
    ",": r"^[+-]?\d{1,3}(\.\d{3})+(,\d+)$|^[+-]?\d{1,3}(\.\d{3}){2,}$",
    ".": r"^[+-]?\d{1,3}(,\d{3})+(\.\d+)$|^[+-]?\d{1,3}(,\d{3}){2,}$",
}
"""Numbers, by their decimal sign, in which the other sign surely parts groups of three digits."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a person said: where the table is, and columns by the table's own names; empty where not said."""

    at: str
    target: str = ""
    """The column to be told; empty of a table that is only looked at."""
    site: str = ""
    time: str = ""
    entity: str = ""
    task: str = ""
    """The kind of task; empty: as the target's type and values propose."""
    positive: str = ""
    """The value of a target of two that is the yes; empty: as the values say, or the rarer one."""
    source: Mapping[str, Any] = field(default_factory=dict)
    """What else the source must know of the table, as factory/connectors/tables/arguments.py reads it."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One column as the line is to have it: its name in the table and its type."""

    source_name: str
    kind: str


@dataclass(frozen=True, kw_only=True)
class _Read:
    """A table as it is to be read."""

    reader: Reader
    at: TableAt
    parse: Parse
    shapes: Mapping[str, Shape]
    wanted: Mapping[str, Wanted]
    unused: Mapping[str, str]

    def batches(self) -> Iterator[pl.DataFrame]:
        """Yield the typed rows under the line's names."""
        for raw in self.reader.batches([column.source_name for column in self.wanted.values()], Narrowing()):
            yield _typed(raw, self.wanted, self.parse)


def profiled(asked: Asked, root: Path) -> Profile:
    """Return what a table holds. Raises SourceError naming what is wrong, with near names where a name is."""
    said = Target(column=asked.target, task=asked.task, positive=asked.positive)
    read = _shaped(asked, root)
    line = {column.source_name: name for name, column in read.wanted.items()}
    target, site, time, entity = (
        line[name] if name else "" for name in (asked.target, asked.site, asked.time, asked.entity)
    )
    order = TimeOrder(time=time, entity=entity, target=target, site=site) if time else None
    counting = Counting(list(read.wanted), site=site, target=target, order=order, keys=_keys(site, time, entity))
    columns, sample = _counted(asked, read, counting)
    task = task_of(said, columns[target].kind, columns[target].counts)
    given = {target, site, time, entity}
    personal = _personal(columns, target, sample)
    return Profile(
        at=read.at,
        parse=read.parse,
        rows=counting.rows,
        columns=columns,
        target=target,
        site=site,
        time=time,
        entity=entity,
        task=task,
        key=_key(columns, given | {one.column for one in personal}, counting.keys),
        order=order,
        alike=counting.neighbours.alike(columns[target].counts.values),
        labelled=counting.labelled,
        suspects=_leaks(columns, target, given, task, sample),
        keys=counting.keys,
        personal=personal,
        sample=sample,
        unused=read.unused,
    )


def table_profiled(asked: Asked, root: Path) -> TableProfile:
    """Return what a table without a target holds. Raises SourceError as `profiled` does."""
    read = _shaped(asked, root)
    counting = Counting(list(read.wanted), site="", target="", order=None, keys=_name_and_moment(read.wanted))
    columns, sample = _counted(asked, read, counting)
    return TableProfile(
        at=read.at,
        parse=read.parse,
        rows=counting.rows,
        columns=columns,
        keys=counting.keys,
        personal=_personal(columns, "", sample),
        sample=sample,
        unused=read.unused,
    )


_MOST_PAIRS = 24


def _name_and_moment(wanted: Mapping[str, Wanted]) -> Sequence[tuple[str, ...]]:
    """Return pairs that tell apart what is measured of many things at many moments: a name and a moment."""
    named = [name for name, one in wanted.items() if one.kind in ("String", "Int64")]
    moments = [name for name, one in wanted.items() if one.kind.startswith("Date")]
    return [(name, moment) for moment in moments for name in named][:_MOST_PAIRS]


def _counted(asked: Asked, read: _Read, counting: Counting) -> tuple[dict[str, Column], pl.DataFrame]:
    """Count the rows, and return the columns and a sample; raises SourceError where there is no row."""
    for batch in read.batches():
        counting.see(batch)
    if not counting.rows:
        raise SourceError(f"table {asked.at} is empty: it has columns and no row; a line needs rows to learn from")
    sample = counting.sample.taken()
    columns = {
        name: Column(
            name=name,
            source_name=column.source_name,
            shape=read.shapes[column.source_name],
            counts=counting.counts[name],
            quantiles=quantiles_of(sample[name]),
        )
        for name, column in read.wanted.items()
    }
    return columns, sample


def _shaped(asked: Asked, root: Path) -> _Read:
    place = place_of(asked.at, root)
    at = tables_of({place.name: {**asked.source, "at": asked.at}})[place.name]
    if look := {"csv": dialect_of, "excel": sheet_of, "json": layout_of}.get(place.kind):
        at = FilesReader(place, at, format_of(place, at)).seen(look)
    reader = reader_of(place, at)
    if isinstance(reader, Discoverable):
        at = reader.discovered()
        reader = reader_of(place, at)
    schema = reader.schema()
    _require_named(asked, list(schema))
    nested = {name: f"its type {dtype} is no single value" for name, dtype in schema.items() if dtype.is_nested()}
    nested |= {name: "its values are bytes" for name, dtype in schema.items() if dtype == pl.Binary}
    plain = {name: dtype for name, dtype in schema.items() if name not in nested}
    for role in ("target", "site", "time", "entity"):
        if getattr(asked, role) in nested:
            raise SourceError(f"column {getattr(asked, role)!r} cannot be the {role}: {nested[getattr(asked, role)]}")
    parse = _signs(reader, plain, at)
    shapes, missing = shapes_of(plain, reader.batches(list(plain), Narrowing()), time=asked.time, parse=parse)
    names = line_names(plain)
    parse = replace(parse, null_values_of={names[name]: tokens for name, tokens in missing.items()})
    shapes = {name: _as_asked(name, shape, asked, reader) for name, shape in shapes.items()}
    parse = replace(parse, formats={names[name]: shape.format for name, shape in shapes.items() if shape.format})
    wanted = {names[name]: Wanted(source_name=name, kind=shape.kind) for name, shape in shapes.items()}
    return _Read(reader=reader, at=at, parse=parse, shapes=shapes, wanted=wanted, unused=nested)


def _typed(raw: pl.DataFrame, wanted: Mapping[str, Wanted], parse: Parse) -> pl.DataFrame:
    """Return the wanted columns under the line's names, in its types, null where a value does not fit."""
    return raw.select(
        value_of(exactly(column.source_name), raw.schema[column.source_name], name, column.kind, parse).alias(name)
        for name, column in wanted.items()
    )


def _require_named(asked: Asked, columns: Sequence[str]) -> None:
    named = {"target": asked.target, "site": asked.site, "time": asked.time, "entity": asked.entity}
    for role, name in named.items():
        if name and name not in columns:
            near = get_close_matches(name, columns, n=3, cutoff=0.4)
            near += [column for column in columns if column.lower() == name.lower() and column not in near]
            hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
            shown = ", ".join(map(repr, columns[:20])) + (" …" if len(columns) > 20 else "")
            raise SourceError(f"--{role}: table {asked.at} has no column {name!r}{hint} It has {shown}")
    given = [name for name in named.values() if name]
    if len(set(given)) < len(given):
        twice = next(name for name in given if given.count(name) > 1)
        raise SourceError(f"column {twice!r} is named twice; target, site, time and entity are different columns")


def _signs(reader: Reader, schema: Mapping[str, pl.DataType], at: TableAt) -> Parse:
    """Return the signs in a table's numbers, from its first batch; no comma is one where commas part the columns."""
    texts = [name for name, dtype in schema.items() if dtype == pl.String]
    first = next(iter(reader.batches(texts, Narrowing())), pl.DataFrame()) if texts else pl.DataFrame()
    columns = [first[name].drop_nulls().str.strip_chars() for name in texts if name in first.columns]
    known = [column for column in columns if len(column)]
    has_commas = at.separator != "," and any(column.str.contains(_DECIMAL_COMMA).mean() > 0.5 for column in known)  # type: ignore[operator]  # a number
    decimal = "," if has_commas else "."
    grouped = any(column.str.contains(_GROUPS[decimal]).any() for column in known)
    return Parse(decimal=decimal, thousands={",": ".", ".": ","}[decimal] if grouped else "")


def _as_asked(name: str, shape: Shape, asked: Asked, reader: Reader) -> Shape:
    """Return a column's shape as its role wants it: sites are texts, the time is moments."""
    if name and name == asked.site:
        return Shape(kind="String")
    if not name or name != asked.time:
        return shape
    if not shape.kind.startswith("Date"):
        raise SourceError(
            f"--time: column {name!r} holds no dates: it was read as {shape.kind}; "
            "write dates as 2024-01-31, or leave --time out"
        )
    if shape.also:
        shape = _the_more_orderly(name, shape, reader)
    return replace(shape, kind=MOMENT)


def _the_more_orderly(name: str, shape: Shape, reader: Reader) -> Shape:
    """Return the shape with the format by which time goes backwards less often first; as it was where both are even."""
    orders = {format_: TimeOrder(time="time") for format_ in (shape.format, shape.also)}
    for raw in reader.batches([name], Narrowing()):
        for format_, order in orders.items():
            order.see(_typed(raw, {"time": Wanted(source_name=name, kind=MOMENT)}, Parse(formats={"time": format_})))
    if orders[shape.also].backwards < orders[shape.format].backwards:
        return replace(shape, format=shape.also, also=shape.format)
    return shape


def _keys(site: str, time: str, entity: str) -> list[tuple[str, ...]]:
    """Return what might tell rows apart, the shortest first."""
    keys = [(entity,), (time,), (site, time), (entity, time), (site, entity), (site, entity, time)]
    whole = [tuple(filter(None, key)) for key in keys if all(key)]
    return list(dict.fromkeys(whole))


def _key(columns: Mapping[str, Column], but: set[str], keys: Mapping[tuple[str, ...], Counts]) -> tuple[str, ...]:
    """Return the key: a column that numbers the rows, else a combination of those named, else none."""
    ids = [name for name, column in columns.items() if column.unique and column.holds == "id" and name not in but]
    if ids:
        named = [name for name in ids if {"id", "key", "uuid"} & set(words_of(columns[name].source_name))]
        return ((named or ids)[0],)
    for key, counts in keys.items():
        if not counts.nulls and not counts.distinct.repeated:
            return key
    return ()


def _leaks(
    columns: Mapping[str, Column], target: str, given: set[str], task: Task, sample: pl.DataFrame
) -> list[Suspect]:
    rows = sample.filter(pl.col(target).is_not_null())
    targets: Floats = targets_of(_classes(rows[target], task), task.classes)
    words = {word for word in words_of(columns[target].source_name) if len(word) > 2}
    looked_at = [
        column for name, column in columns.items() if name not in given and column.holds not in ("nothing", "id")
    ]
    suspects = [leak_of(column.name, column.source_name, rows[column.name], targets, words) for column in looked_at]
    return [one for one in suspects if one]


def _classes(target: pl.Series, task: Task) -> pl.Series:
    """Return a target's values as the names of its classes; a number as it is."""
    if not task.classes:
        return target
    names: dict[Any, str] = dict(zip(task.values, task.classes, strict=True))
    return target.replace_strict(names, return_dtype=pl.String)


def _personal(columns: Mapping[str, Column], target: str, sample: pl.DataFrame) -> list[Suspect]:
    suspects = [
        personal_data_of(name, column.source_name, sample[name])
        for name, column in columns.items()
        if name != target and column.holds != "nothing"
    ]
    return [one for one in suspects if one]
