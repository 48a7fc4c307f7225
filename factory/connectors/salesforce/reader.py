"""`SalesforceReader`: one object as a table, by SOQL where few rows are wanted and by the Bulk API 2.0 where many are.

Deleted records come too where the line declares IsDeleted, the column that tells of them: then all queries ask
`queryAll`, which knows what is in the recycle bin. Values are typed as describe says.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import polars as pl

from factory.connectors.salesforce import soql
from factory.connectors.salesforce.client import Salesforce, shared_session
from factory.connectors.salesforce.jobs import Looks, query_frames
from factory.connectors.salesforce.objects import Field, SObject
from factory.connectors.salesforce.values import frame_of_records, frame_of_texts, value_of
from factory.connectors.tables.place import Place
from factory.connectors.tables.reader import Narrowing
from factory.connectors.web.access import Access
from factory.connectors.web.reading import as_source
from factory.errors import ServiceGarbled, ServiceRefused, SourceError

FEW_ROWS = 10_000
"""So many rows are read by SOQL, in five calls; a job costs at least as many."""
_DELETED = "IsDeleted"
_ID = "Id"


class SalesforceReader:
    """One object. `declared` are the fields that the line knows; `options` are those of `Service`."""

    def __init__(
        self,
        place: Place,
        access: Access | None = None,
        declared: Collection[str] = (),
        *,
        few_rows: int = FEW_ROWS,
        looks: Looks | None = None,
        **options: Any,
    ) -> None:
        self.place, self._access, self._options = place, access, options
        self._with_deleted = _DELETED in declared
        self._few_rows, self._looks = few_rows, looks

    def schema(self) -> dict[str, pl.DataType]:
        """Return the object's fields that the user may see; raises SourceError."""
        with self._opened() as salesforce:
            return {name: field.dtype for name, field in self._object(salesforce).fields.items()}

    def state(self, cursor: str) -> str | None:
        """Return None where Salesforce finds records by the cursor, and else that nobody can tell of a change."""
        with self._opened() as salesforce:
            field = self._object(salesforce).fields.get(cursor)
            return None if field is not None and field.is_ordered else ""

    def batches(self, columns: Sequence[str], only: Narrowing, row_number: str = "") -> Iterator[pl.DataFrame]:
        """Yield the records' fields; raises SourceError, also where some lack or come twice.

        With `row_number` the records come in the order of their ids.
        """
        with self._opened() as salesforce:
            sobject = self._object(salesforce)
            conditions = [] if row_number else soql.conditions_of(dict(sobject.fields), only)
            fields = [sobject.fields[name] for name in columns]
            seen, rows = list[pl.Series](), 0
            for frame in self._frames(salesforce, sobject, fields, conditions, is_numbered=bool(row_number)):
                seen.append(frame[_ID].hash())
                batch = frame.select(columns)
                if row_number:
                    numbers = pl.int_range(rows + 1, rows + 1 + len(batch), dtype=pl.Int64, eager=True)
                    batch = batch.with_columns(numbers.alias(row_number))
                rows += len(batch)
                yield batch
            if seen and pl.concat(seen).n_unique() != rows:
                raise ServiceGarbled("a record came twice: a page was repeated")

    def _frames(
        self,
        salesforce: Salesforce,
        sobject: SObject,
        fields: Sequence[Field],
        conditions: Sequence[str],
        *,
        is_numbered: bool,
    ) -> Iterator[pl.DataFrame]:
        """Yield the records by the door that suits their number, with their ids."""
        wanted = [*fields, *([sobject.fields[_ID]] if _ID not in {one.name for one in fields} else [])]
        names = [one.name for one in wanted]
        query = soql.select(names, sobject.name, conditions, order_by=_ID if is_numbered else "")
        number = salesforce.count(soql.count(sobject.name, conditions), with_deleted=self._with_deleted)
        if number > self._few_rows or not salesforce.fits(query):
            try:
                frames = query_frames(salesforce, query, with_deleted=self._with_deleted, looks=self._looks)
                yield from (frame_of_texts(_with_columns(texts, names), wanted) for texts in frames)
            except ServiceRefused as error:
                if "INVALIDENTITY" not in error.body or not salesforce.fits(query):
                    raise
            else:
                return
        yield from self._pages(salesforce, query, wanted)

    def _pages(self, salesforce: Salesforce, query: str, fields: Sequence[Field]) -> list[pl.DataFrame]:
        """Return the pages of a query; read once more where records went away while they were read."""
        for attempt in (1, 2):
            try:
                pages = list(salesforce.pages(query, with_deleted=self._with_deleted))
            except ServiceGarbled:
                if attempt == 2:
                    raise
            else:
                return [frame_of_records(records, fields) for records in pages]
        raise AssertionError("the second attempt returns or raises")

    def newest(self, site_column: str, cursor: str, until: datetime) -> pl.DataFrame | None:
        """Return `site` and `newest`, found by Salesforce; None where only the records themselves can tell.

        That is where the site's column is a free text, of which Salesforce takes `Ulm` and `ULM` for one.
        """
        return self._asked(site_column, cursor, until, "newest")

    def counts(self, site_column: str, cursor: str, until: datetime) -> pl.DataFrame | None:
        """Return `site` and `rows`, counted by Salesforce; None where only the records themselves can tell."""
        return self._asked(site_column, cursor, until, "rows")

    def beyond(self, site_column: str, cursor: str, since: datetime) -> pl.DataFrame | None:
        """Return `site`, `rows` and `latest` of records at a moment or later; None as for `newest`."""
        with self._opened() as salesforce:
            fields = self._object(salesforce).fields
            site, of_cursor = fields.get(site_column), fields[cursor]
            conditions = soql.since(of_cursor, since)
            if conditions is None or not _is_counted(site, of_cursor):
                return None
            return self._grouped(salesforce, site, {"rows": None, "latest": of_cursor}, conditions)

    def _asked(self, site_column: str, cursor: str, until: datetime, what: str) -> pl.DataFrame | None:
        with self._opened() as salesforce:
            fields = self._object(salesforce).fields
            site, of_cursor = fields.get(site_column), fields[cursor] if cursor else None
            conditions = [] if of_cursor is None else soql.before(of_cursor, until)
            if conditions is None or not _is_counted(site, of_cursor):
                return None
            return self._grouped(salesforce, site, {what: of_cursor if what == "newest" else None}, conditions)

    def _grouped(
        self,
        salesforce: Salesforce,
        site: Field | None,
        asked: dict[str, Field | None],
        conditions: Sequence[str],
    ) -> pl.DataFrame | None:
        """Return each site with the largest value of a field, or with its number of records where there is no field."""
        aggregates = [("COUNT", _ID) if field is None else ("MAX", field.name) for field in asked.values()]
        query = soql.grouped(self.place.table, site, [("COUNT", _ID), *aggregates], conditions)
        records = salesforce.aggregates(query, with_deleted=self._with_deleted)
        if records is None:
            return None
        records = [one for one in records if one.get("expr0")]
        named = [Field(name="site", kind="string") if site is None else site]
        sites = frame_of_records([{"site": None, **one} for one in records], named)
        columns = [sites.to_series().alias("site")]
        for place, (name, field) in enumerate(asked.items(), 1):
            of_kind = field or Field(name=name, kind="int")
            values = [value_of(one.get(f"expr{place}"), of_kind) for one in records]
            empty = pl.Series(name, [], dtype=of_kind.dtype)
            columns.append(pl.concat(values).alias(name) if values else empty)
        return pl.DataFrame(columns)

    def _object(self, salesforce: Salesforce) -> SObject:
        sobject = salesforce.describe(self.place.table)
        if not sobject.queryable or _ID not in sobject.fields:
            raise SourceError(f"table {self.place.table}: Salesforce answers no query of this object")
        return sobject

    @contextmanager
    def _opened(self) -> Iterator[Salesforce]:
        """Give the process's session, or one of its own with the options of this reader."""
        with as_source(self.place.table):
            if not self._options:
                yield shared_session(self.place.at, self._access)
                return
            with Salesforce(self.place.at, self._access, **self._options) as salesforce:
                yield salesforce


def _is_counted(site: Field | None, cursor: Field | None) -> bool:
    return (site is None or (site.groupable and site.is_exact)) and (cursor is None or cursor.aggregatable)


def _with_columns(texts: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    if texts.columns != list(names):
        raise ServiceGarbled(
            f"a job's results have the columns {texts.columns[:5]}, and {list(names)[:5]} were asked for"
        )
    return texts
