"""A profile in, the features that a new line begins with out: each a name, an expression a person can read, a sentence.

Nothing here looks at the target but to leave leaks out, and to see whether a missing value says something.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import polars as pl

from factory.scaffold.profiling.association import missing_skill, targets_of
from factory.scaffold.profiling.naming import identifier
from factory.scaffold.profiling.profile import Column, Profile
from factory.scaffold.texts import python_text, python_value, said, width

GROUPS = ("numbers", "flags", "categories", "codes", "moments", "texts", "gaps", "series")
MOST = 600
_WIDTH = 120 - len("        ,")
"""A feature is one line."""
_FLAGS, _FLAGS_BESIDE_CODE = 12, 8
"""Up to so many values each is a feature of its own; of more so many are, and all have a number the network embeds."""
_CODES, _CODE_ROWS, _LONGEST_CODE = 500, 5, 80
_LONGEST_VALUE = 24
_LEAST_WORDS, _MOST_WORDS, _ROWS_A_WORD = 20, 100, 20
"""Of a text so many words and pairs of words are looked for, more where there are more rows to learn them from."""
_STOP_TEXT = (
    "the and for with this that from are was were not but you your have has had will can its their they our out "
    "all und der die das mit für von ist ein eine nicht auf den dem des les une pour que dans"
)
_STOP_WORDS = frozenset(_STOP_TEXT.split())
_WORD = re.compile(r"[^\W\d_]+")
_WORD_LENGTHS = range(3, 15)
_WORD_SHARES = (0.005, 0.6)
_GAP_SHARES = (0.01, 0.99)
_GAP_SKILL, _GAP_SKILL_ROWS = 0.005, 5


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One feature: the function of features.py that has it, its Polars expression as code, and what it holds."""

    group: str
    name: str
    code: str
    sentence: str
    column: str = ""
    """Of a code: the column whose values it numbers."""
    values: tuple[str, ...] = ()
    """Of a code: the values that have a number, from 1 on."""


def features_of(profile: Profile) -> tuple[Feature, ...]:
    """Return the features, at most MOST, with names that differ."""
    taken = {"site", "label", "decided_at", *profile.key, profile.entity, profile.target}
    features: list[Feature] = []
    for feature in (*_of_columns(profile), *_of_gaps(profile)):
        if feature.name not in taken and width(feature.code) <= _WIDTH:
            taken.add(feature.name)
            features.append(feature)
    order = {group: place for place, group in enumerate(GROUPS)}
    return tuple(sorted(features, key=lambda feature: order[feature.group])[:MOST])


def usable(profile: Profile) -> list[Column]:
    """Return the columns that may become features."""
    given = {profile.target, profile.site, profile.entity, *profile.key} - {profile.time}
    return [
        column
        for name, column in profile.columns.items()
        if name not in given and name not in profile.left_out and column.holds not in ("nothing", "id")
    ]


def late_moments(profile: Profile) -> list[str]:
    """Return the columns with moments that come after the decision: what happened then was not known."""
    if not profile.time:
        return []
    moments = [one.name for one in usable(profile) if one.holds == "moment" and one.name != profile.time]
    after = profile.sample.select(
        (pl.col(name).cast(pl.Datetime("us", "UTC")) > pl.col(profile.time)).mean().alias(name) for name in moments
    )
    return [name for name in moments if (after[name].item() or 0) > 0.05]


def _of_columns(profile: Profile) -> Iterator[Feature]:
    late = late_moments(profile)
    for column in usable(profile):
        if column.name in late:
            continue
        if column.holds == "number":
            yield _number(column)
        elif column.holds == "flag":
            yield Feature(
                group="flags",
                name=f"{column.name}_yes",
                code=_alias(f"{_col(column)}", f"{column.name}_yes"),
                sentence=f"1 where {_said(column)} is true.",
            )
        elif column.holds == "category":
            yield from _category(column, profile)
        elif column.holds == "moment":
            yield from _moment(column, profile)
        elif column.holds == "text":
            yield from _text(column, profile)


def _number(column: Column) -> Feature:
    return Feature(group="numbers", name=column.name, code=_col(column), sentence=f"{_said(column)}, as it is.")


def _category(column: Column, profile: Profile) -> Iterator[Feature]:
    """Yield a feature for each common value, and where there are many values one that numbers them."""
    counted = _counted(column, profile)
    common = sorted(counted, key=lambda value: (-counted[value], value))
    if len(common) > _FLAGS:
        yield from _code(column, tuple(value for value in common if counted[value] >= _CODE_ROWS))
        common = common[:_FLAGS_BESIDE_CODE]
    if len(common) == 2 and column.counts.values is not None:
        common = common[1:]  # the other one is where this is 0
    for place, value in enumerate(common, 1):
        if value and len(python_text(value)) <= _LONGEST_VALUE + 2 and counted[value] > 1:
            name = _short(f"{column.name}_is_{identifier(str(value)).lower() or f'value_{place}'}", 44)
            code = _alias(f"({_col(column)} == {python_value(value)})", name)
            if width(code) > _WIDTH:
                name = f"{column.name}_is_value_{place}"
                code = _alias(f"({_col(column)} == {python_value(value)})", name)
            yield Feature(
                group="categories", name=name, code=code, sentence=f"1 where {_said(column)} is {said(value)}."
            )


def _counted(column: Column, profile: Profile) -> dict[str, int]:
    """Return the values as clean.py leaves them, each with its rows, of a sample where there are very many."""
    counted = column.counts.values
    if counted is None:
        counts = profile.sample[column.name].drop_nulls().alias("value").value_counts()
        often = counts.sort("count", "value", descending=[True, False])  # of those as often, the same in every run
        counted = dict(often.head(2 * _CODES).iter_rows())
    trimmed: Counter[str] = Counter()
    for value, rows in counted.items():
        trimmed[value.strip()] += rows
    return {value: rows for value, rows in trimmed.items() if value}


def _code(column: Column, values: tuple[str, ...]) -> Iterator[Feature]:
    numbered = tuple(value for value in values if width(python_text(value)) <= _LONGEST_CODE)[:_CODES]
    if numbered:
        name = f"{column.name}_code"
        yield Feature(
            group="codes",
            name=name,
            code=_alias(f"code_of({python_text(column.name)})", name),
            sentence=f"{_said(column)}: the number of its value in CATEGORIES, 0 for any other.",
            column=column.name,
            values=numbered,
        )


def _moment(column: Column, profile: Profile) -> Iterator[Feature]:
    name, there = column.name, _col(column)
    parts = {
        f"{name}_weekday": (f"{there}.dt.weekday()", "its day of the week, Monday 1 to Sunday 7"),
        f"{name}_month": (f"{there}.dt.month()", "its month"),
        f"{name}_day_of_year": (f"{there}.dt.ordinal_day()", "its day of the year"),
    }
    if column.kind != "Date" and _has_hours(profile.sample[name]):
        parts |= {f"{name}_hour": (f"{there}.dt.hour()", "its hour in UTC")}
    if name != profile.time:
        days = f'(pl.col("decided_at") - {there}.cast(MOMENT)).dt.total_days()'
        parts |= {f"{name}_days_ago": (days, "days from it to the decision")}
    for feature, (code, what) in parts.items():
        yield Feature(group="moments", name=feature, code=_alias(code, feature), sentence=f"{_said(column)}: {what}.")


def _has_hours(moments: pl.Series) -> bool:
    return bool((moments.dt.hour() != 0).any())


def _text(column: Column, profile: Profile) -> Iterator[Feature]:
    name, there = column.name, _col(column)
    yield Feature(
        group="texts",
        name=f"{name}_length",
        code=_alias(f"{there}.str.len_chars()", f"{name}_length"),
        sentence=f"{_said(column)}: its number of characters.",
    )
    words = f"{there}.str.count_matches(WORD)"
    yield Feature(
        group="texts",
        name=f"{name}_words",
        code=_alias(words, f"{name}_words"),
        sentence=f"{_said(column)}: its number of words.",
    )
    for place, word in enumerate(common_words(profile.sample[name]), 1):
        feature = f"{name}_has_{identifier(word).lower() or f'word_{place}'}"
        code = f"has_word({python_text(name)}, {python_text(word)})"
        if width(_alias(code, feature)) > _WIDTH:
            feature = f"{name}_word_{place}"
        sentence = f"{_said(column)}: 1 where it has the word {said(word)}."
        yield Feature(group="texts", name=feature, code=_alias(code, feature), sentence=sentence)


def common_words(texts: pl.Series) -> list[str]:
    """Return the words, and pairs of neighbours, that are in some texts and not in most, the commonest first.

    Blind to the target. A pair has a word that says something, and no letter between the two.
    """
    counts: Counter[str] = Counter()
    known = texts.drop_nulls().str.to_lowercase()
    for text in known:
        words = _WORD.findall(text)
        telling = {word for word in words if len(word) in _WORD_LENGTHS and word not in _STOP_WORDS}
        counts.update(telling)
        pairs = {pair for pair in pairwise(words) if telling & set(pair) and max(map(len, pair)) < _WORD_LENGTHS.stop}
        counts.update(map(" ".join, pairs))
    least, most = max(_WORD_SHARES[0] * len(known), 3), _WORD_SHARES[1] * len(known)
    width = min(_MOST_WORDS, max(_LEAST_WORDS, len(known) // _ROWS_A_WORD))
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [word for word, count in ranked if least <= count <= most][:width]


def _of_gaps(profile: Profile) -> Iterator[Feature]:
    rows = profile.sample.filter(pl.col(profile.target).is_not_null())
    classes = dict(zip(profile.task.values, profile.task.classes, strict=True))
    target = rows[profile.target].replace_strict(classes, return_dtype=pl.String) if classes else rows[profile.target]
    targets = targets_of(target, profile.task.classes)
    least = max(_GAP_SKILL, _GAP_SKILL_ROWS / max(len(rows), 1))  # what chance alone reaches
    for column in usable(profile):
        telling = column.holds == "constant" or missing_skill(rows[column.name], targets) > least
        if _GAP_SHARES[0] <= column.null_share <= _GAP_SHARES[1] and telling:
            name = f"{column.name}_missing"
            code = _alias(f"{_col(column)}.is_null()", name)
            yield Feature(group="gaps", name=name, code=code, sentence=f"1 where {_said(column)} is missing.")


def _col(column: Column) -> str:
    return f"pl.col({python_text(column.name)})"


def _alias(code: str, name: str) -> str:
    return f"{code}.alias({python_text(name)})"


def _said(column: Column) -> str:
    return said(column.source_name) or column.name


def _short(name: str, longest: int) -> str:
    return re.sub(r"_+$", "", name[:longest])
