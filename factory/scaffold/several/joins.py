"""Profiles of tables in, joins out: a column whose values are the key of another table, by name and by values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from factory.scaffold.profiling.naming import words_of
from factory.scaffold.profiling.profile import Column, TableProfile

_LEAST_SHARE, _SURE_SHARE = 0.5, 0.9
_LEAST_VALUES = 10
"""Fewer different values are found in a key by chance."""
_ID_WORDS = frozenset(["id", "ids", "key", "no", "nr", "number", "num", "code", "ref", "uuid", "guid", "identifier"])


@dataclass(frozen=True, kw_only=True)
class Join:
    """A column of a table whose values are the key of another."""

    table: str
    column: str
    other: str
    key: str
    share: float
    """Of the table's rows that have a value, how many have one that the other table lists."""
    is_named_alike: bool

    @property
    def is_sure(self) -> bool:
        """Whether name and values both say so."""
        return self.is_named_alike and self.share >= _SURE_SHARE

    @property
    def sentence(self) -> str:
        """What was found, and how sure that is."""
        if self.is_sure:
            why = "sure: name and values agree"
        else:
            why = (
                "NOT SURE: the names agree, many values do not fit" if self.is_named_alike else "NOT SURE: values alone"
            )
        return f"{self.table}.{self.column} is {self.other}.{self.key}: {self.share:.1%} of its rows fit ({why})"


def joins_to(other: str, key: Column, tables: Mapping[str, TableProfile]) -> dict[str, Join]:
    """Return the other tables that have a column with the key's values: of each the join that fits best."""
    best: dict[str, Join] = {}
    for name, profile in tables.items():
        joins = list(_joins(name, profile, other, key)) if name != other else []
        if joins:
            best[name] = max(joins, key=lambda join: (join.is_named_alike, join.share))
    return best


def _joins(name: str, profile: TableProfile, other: str, key: Column) -> Iterator[Join]:
    for column in profile.columns.values():
        if column.kind != key.kind or not column.known:
            continue
        share = column.counts.distinct.share_in(key.counts.distinct)
        is_named_alike = column.name.lower() == key.name.lower() or bool(_subject(column, name) & _subject(key, other))
        is_by_values = (
            column.kind == "String" and share >= _SURE_SHARE and column.counts.distinct.count >= _LEAST_VALUES
        )
        if share >= _LEAST_SHARE and (is_named_alike or is_by_values):
            yield Join(
                table=name, column=column.name, other=other, key=key.name, share=share, is_named_alike=is_named_alike
            )


def _subject(column: Column, table: str) -> set[str]:
    """Return what a column's name says it is about; a plain `id` is about its table's rows."""
    words = {word.removesuffix("s") for word in words_of(column.source_name) if word not in _ID_WORDS}
    return words or {word.removesuffix("s") for word in words_of(table)}
