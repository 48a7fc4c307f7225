"""`ODataReader`: an entity set as a table. Its rows are given when all are there, as many as the service counts.

Pages are asked for after the last key that came (`keyset`), so that a row that is there all the time is read once
whatever is written meanwhile. A service that refuses such a question is read by its own links, and, where it refuses
our filter, whole. Before and after, the service counts; where the rows that came are none of its numbers, the set is
read once more.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

import polars as pl

from factory.connectors.odata.metadata import EntitySet
from factory.connectors.odata.queries import after_key, all_of, conditions_of, within
from factory.connectors.odata.service import NOT_DONE, EntityPage, ODataService
from factory.connectors.odata.values import MOMENTS, WHOLE_NUMBERS, text_of_value, texts_of
from factory.connectors.tables.arguments import TableAt
from factory.connectors.tables.place import Place
from factory.connectors.tables.reader import Narrowing
from factory.connectors.web.reading import ChangedError, HeldPages, as_source, split_query
from factory.connectors.web.session import Service
from factory.errors import ServiceRefused, SourceError

_WAYS = ("auto", "keyset", "link", "offset")
_PAGE_ROWS = 5000
_READINGS = 3


class _Way(NamedTuple):
    """How a set is read: its pages by `by`, under conditions."""

    by: str
    conditions: str


class ODataReader:
    """One entity set of a service, V2 or V4; every value is text."""

    def __init__(self, place: Place, at: TableAt, service: Callable[..., Service] = Service) -> None:
        self.place, self.at, self._make = place, at, service
        self._size = at.paging.size or _PAGE_ROWS

    def schema(self) -> dict[str, pl.DataType]:
        """Return the properties of the set's entities; raises SourceError."""
        with self._opened() as (_, entities):
            return dict.fromkeys(entities.properties, pl.String())

    def batches(self, columns: Sequence[str], only: Narrowing, row_number: str = "") -> Iterator[pl.DataFrame]:
        """Yield the rows in the order of the service; raises SourceError."""
        with self._opened() as (service, entities):
            conditions = [] if row_number else conditions_of(entities, only, service.metadata.version)
            with self._held(service, entities, columns, all_of(conditions)) as held:
                for batch in held.batches(only, row_number):
                    yield batch.select(*columns, *filter(None, [row_number]))

    def state(self, cursor: str) -> str | None:
        """Return None where the service finds rows by the cursor, and else nothing: the set is read whole."""
        with self._opened() as (_, entities):
            one = entities.properties.get(cursor)
            return None if one and one.filterable and one.kind in (*MOMENTS[:2], *WHOLE_NUMBERS) else ""

    def newest(self, site_column: str, cursor: str, until: datetime) -> pl.DataFrame | None:
        """Return the largest cursor before a moment, or the number of rows, of a set without a site column.

        None where there is such a column, for a service groups nothing, or the cursor is no moment; as `Asked` says.
        """
        with self._opened() as (service, entities):
            if site_column or not self._comparable(entities, cursor):
                return None
            if not cursor:
                rows = service.count(entities, "")
                return None if rows is None else pl.DataFrame({"site": [None], "newest": [rows]}, _schema(pl.Int64()))
            newest = self._latest(service, entities, cursor, _before(service, entities, cursor, until))
            return newest if newest is None else newest.rename({"latest": "newest"})

    def counts(self, site_column: str, cursor: str, until: datetime) -> pl.DataFrame | None:
        """Return the number of rows before a moment of a set without a site column, as `Asked` says."""
        with self._opened() as (service, entities):
            if site_column or not self._comparable(entities, cursor):
                return None
            conditions = _before(service, entities, cursor, until, or_none=True) if cursor else ""
            rows = None if conditions is None else service.count(entities, conditions)
            return (
                None
                if rows is None
                else pl.DataFrame({"site": [None], "rows": [rows]}, {"site": pl.String(), "rows": pl.Int64()})
            )

    def beyond(self, site_column: str, cursor: str, since: datetime) -> pl.DataFrame | None:
        """Return number and largest cursor of the rows at a moment or later, as `Asked` says."""
        with self._opened() as (service, entities):
            if site_column or not self._comparable(entities, cursor):
                return None
            conditions = all_of(within(entities.properties[cursor], since, None, service.metadata.version))
            latest = self._latest(service, entities, cursor, conditions)
            rows = service.count(entities, conditions) if latest is not None else None
            return None if latest is None or rows is None else latest.with_columns(rows=pl.lit(rows, pl.Int64))

    def _comparable(self, entities: EntitySet, cursor: str) -> bool:
        if not cursor:
            return True
        one = entities.properties[cursor]
        return one.kind in MOMENTS[:2] and one.filterable and one.sortable

    def _latest(
        self, service: ODataService, entities: EntitySet, cursor: str, conditions: str | None
    ) -> pl.DataFrame | None:
        if conditions is None:
            return None
        try:
            page = service.page(entities, conditions, {"$orderby": f"{cursor} desc", "$top": "1", "$select": cursor})
        except ServiceRefused as refusal:
            if refusal.status in NOT_DONE:
                return None
            raise
        texts = [self._text(service, entities, cursor, one) for one in page.entities[:1]]
        return pl.DataFrame(
            {"site": [None] * len(texts), "latest": texts}, {"site": pl.String(), "latest": pl.String()}
        )

    @contextmanager
    def _held(
        self, service: ODataService, entities: EntitySet, columns: Sequence[str], conditions: str
    ) -> Iterator[HeldPages]:
        """Give the rows of a set, all of them there; raises SourceError where they change with every reading."""
        change = ""
        for _ in range(_READINGS):
            with HeldPages() as held:
                try:
                    self._fill(held, service, entities, columns, self._ways(entities, conditions))
                except ChangedError as error:
                    change = str(error)
                    continue
                yield held
                return
        raise SourceError(
            f"table {self.at.at}: {change}, {_READINGS} times: it changes while it is read, or the service leaves rows "
            "out; nothing was written. Read it when less is written, or ask who runs the service"
        )

    def _fill(
        self,
        held: HeldPages,
        service: ODataService,
        entities: EntitySet,
        columns: Sequence[str],
        ways: Sequence[_Way],
    ) -> None:
        """Read a set in the first way that the service supports; raises ChangedError, SourceError, ServiceError."""
        for way in ways:
            held.clear()
            try:
                before = service.count(entities, way.conditions)
                self._read(service, entities, columns, way, before, held)
                self._require_count(service, entities, way, before, held.rows)
            except ServiceRefused as refusal:
                if refusal.status not in NOT_DONE or way is ways[-1]:
                    raise
            except _NotHeededError:
                if way is ways[-1]:
                    raise self._endless(way) from None
            else:
                return

    def _ways(self, entities: EntitySet, conditions: str) -> list[_Way]:
        """Return how to read a set, the best first; what a service refuses is tried in the next way."""
        said = self.at.paging.by
        self.at.paging.require(_WAYS, "an OData service")
        if said != "auto":
            return [_Way(said, conditions)]
        keys = [entities.properties[name] for name in entities.key]
        keyset = bool(keys) and all(one.filterable and one.sortable for one in keys)
        ways = [*([_Way("keyset", conditions)] if keyset else []), _Way("link", conditions)]
        return [*ways, *([_Way("link", "")] if conditions else [])]

    def _read(
        self,
        service: ODataService,
        entities: EntitySet,
        columns: Sequence[str],
        way: _Way,
        count: int | None,
        held: HeldPages,
    ) -> None:
        wanted = list(dict.fromkeys([*columns, *entities.key]))
        pages = {"keyset": self._by_key, "offset": self._by_offset}.get(way.by, self._by_link)
        version, keys = service.metadata.version, set[tuple[str | None, ...]]()
        for page in pages(service, entities, {"$select": ",".join(wanted)}, way.conditions, count):
            frame = pl.DataFrame(
                texts_of((one.get(name) for one in page.entities), entities.properties[name].kind, version).alias(name)
                for name in wanted
            )
            came = frame.select(entities.key).rows() if entities.key else []
            before = len(keys)
            keys.update(came)
            if len(keys) != before + len(came):
                _refuse_repeated(way, is_all=len(keys) == before)
            held.add(frame)

    def _endless(self, way: _Way) -> SourceError:
        return SourceError(
            f"table {self.at.at}: a page by {way.by} has keys of an earlier one: the service gives its pages again and "
            "again, or its metadata names a key that is none. Nothing was written; try `paging: {by: link}` or "
            "`paging: {by: offset}`"
        )

    def _by_key(
        self, service: ODataService, entities: EntitySet, select: dict[str, str], conditions: str, count: int | None
    ) -> Iterator[EntityPage]:
        options = {**select, "$orderby": ",".join(f"{name} asc" for name in entities.key), "$top": str(self._size)}
        asked, rows = conditions, 0
        while True:
            page = service.page(entities, asked, options)
            yield page
            rows += len(page.entities)
            is_last = count is not None and rows >= count
            if not page.entities or (is_last and not page.following):
                return
            last = {name: self._text(service, entities, name, page.entities[-1]) for name in entities.key}
            after = after_key(entities, last, service.metadata.version)
            if after is None:
                raise ServiceRefused("a key has no literal", status=NOT_DONE[0])
            asked = all_of([*filter(None, [conditions]), after])

    def _by_link(
        self, service: ODataService, entities: EntitySet, select: dict[str, str], conditions: str, _: int | None
    ) -> Iterator[EntityPage]:
        page = service.page(entities, conditions, select, self._size)
        asked = set[str]()
        yield page
        while page.following:
            if page.following in asked:
                raise SourceError(
                    f"table {self.at.at}: the service gives its pages again and again; nothing was written"
                )
            asked.add(page.following)
            page = service.following(page, self._size)
            yield page

    def _by_offset(
        self, service: ODataService, entities: EntitySet, select: dict[str, str], conditions: str, count: int | None
    ) -> Iterator[EntityPage]:
        sortable = all(entities.properties[name].sortable for name in entities.key)
        order = {"$orderby": ",".join(f"{name} asc" for name in entities.key)} if entities.key and sortable else {}
        rows = 0
        while True:
            page = service.page(entities, conditions, {**select, **order, "$top": str(self._size), "$skip": str(rows)})
            yield page
            rows += len(page.entities)
            if not page.entities or (count is not None and rows >= count):
                return

    def _require_count(
        self, service: ODataService, entities: EntitySet, way: _Way, before: int | None, rows: int
    ) -> None:
        """Raise ChangedError where the rows that came are not between what the service counts before and after."""
        if before is None:
            return
        after = service.count(entities, way.conditions)
        after = before if after is None else after
        least, most = (min(before, after), max(before, after))
        if not least <= rows <= most or (way.by != "keyset" and before != after):
            counted = f"{before:,}" if before == after else f"{before:,} and then {after:,}"
            raise ChangedError(f"the service counts {counted} rows, and {rows:,} came")

    def _text(self, service: ODataService, entities: EntitySet, name: str, entity: dict[str, Any]) -> str | None:
        return text_of_value(entity.get(name), entities.properties[name].kind, service.metadata.version)

    @contextmanager
    def _opened(self) -> Iterator[tuple[ODataService, EntitySet]]:
        address, own = split_query(self.place.at)
        query = {**own, **self.at.query}
        with as_source(self.at.at), ODataService(self._make(address, self.at.access), query) as service:
            yield service, service.entity_set(self.place.table)


class _NotHeededError(Exception):
    """The service gives rows that were not asked for: it does not heed a part of the question."""


def _refuse_repeated(way: _Way, *, is_all: bool) -> None:
    """Raise what a page with keys of earlier ones means: of keys in their order, or of all of them, no change."""
    if way.by == "keyset" or is_all:
        raise _NotHeededError
    raise ChangedError("a page has keys of an earlier one")


def _schema(newest: pl.DataType) -> dict[str, pl.DataType]:
    return {"site": pl.String(), "newest": newest}


def _before(
    service: ODataService, entities: EntitySet, cursor: str, until: datetime, *, or_none: bool = False
) -> str | None:
    one = entities.properties[cursor]
    conditions = within(one, None, until, service.metadata.version)
    if not conditions:
        return None
    return " or ".join([*conditions, *([f"{cursor} eq null"] if or_none and one.nullable else [])])
