"""clean.py and features.py of a new line: code that a person will edit, written as the formatter would write it."""

from collections.abc import Iterable

from factory.scaffold.features import GROUPS, Feature
from factory.scaffold.plan import Plan, decided_at
from factory.scaffold.series import before_code, constants
from factory.scaffold.texts import python_text, python_value

_GROUP_DOCS = {
    "numbers": "Return the columns that are numbers already, as they are.",
    "flags": "Return the columns that are true or false.",
    "categories": "Return 1 where a column has a common value, 0 where it has another, null where it has none.",
    "codes": "Return the number of each value of columns that have many; the network learns a vector for each.",
    "moments": "Return parts of dates, and how long before the decision they lie.",
    "texts": "Return length, number of words, and telling words and pairs of words of texts.",
    "series": "Return what earlier rows of the same series say; `before` makes the columns.",
    "gaps": "Return 1 where a value is missing, for columns where that says something.",
}


def features_file(plan: Plan) -> str:
    """Return features.py."""
    groups = [group for group in GROUPS if any(feature.group == group for feature in plan.features)]
    parts = [_head(plan), _build(plan, groups), _label(plan)]
    if plan.series:
        parts += [_numbered(plan), before_code(plan.series)]
    parts += [_group(group, [one for one in plan.features if one.group == group]) for group in groups]
    if any("has_word(" in feature.code for feature in plan.features):
        parts.append(_HAS_WORD)
    if "codes" in groups:
        parts.append(_CODE_OF)
    return "\n\n\n".join(parts) + "\n"


def clean_file(plan: Plan) -> str:
    """Return clean.py."""
    texts = [
        name
        for name, kind in plan.columns.items()
        if kind == "String" and name not in (plan.site_column, plan.profile.target, plan.profile.entity, *plan.key)
    ]
    function = f"repair_{plan.table}"
    body = _tidied(texts) if texts else ["    return raw"]
    what = (
        "Trim texts, and take an empty one for a missing value."
        if texts
        else "Leave the rows as they are: every column is a number or a date already."
    )
    return "\n".join(
        [
            '"""Raw rows that keep the contract in; the same rows, repaired, out.',
            "",
            "Units, time zones, spellings, values that stand for a missing one are repaired here, before any feature.",
            "Give back exactly the rows that come in: one lost or doubled stops the run.",
            '"""',
            "",
            "import polars as pl",
            "",
            *(_constant("TEXTS", texts) if texts else []),
            "",
            f"def {function}(raw: pl.LazyFrame) -> pl.LazyFrame:",
            f'    """{what}"""',
            *body,
            "",
        ]
    )


def _tidied(texts: list[str]) -> list[str]:
    del texts
    return [
        "    trimmed = pl.col(TEXTS).str.strip_chars()",
        '    return raw.with_columns(pl.when(trimmed != "").then(trimmed))',
    ]


def _constant(name: str, values: Iterable[str]) -> list[str]:
    return [f"{name} = [", *(f"    {python_text(value)}," for value in values), "]", ""]


def _head(plan: Plan) -> str:
    timed = bool(plan.profile.time)
    moments = any("MOMENT" in feature.code for feature in plan.features)
    words = any("WORD)" in feature.code for feature in plan.features)
    lines = [
        '"""Cleaned rows in; one row a decision out, with what was known when it was made.',
        "",
        "Edit freely: a feature is one expression here and one sentence in defs.yaml under the same name. Nothing may",
        "be used that is known only after `decided_at`.",
        '"""',
        "",
        "from collections.abc import Mapping",
        *([] if timed else ["from datetime import UTC, datetime"]),
        *(["from datetime import timedelta"] if plan.series else []),
        "",
        "import polars as pl",
        "",
        *([_WINDOWS, ""] if plan.series else []),
    ]
    if not timed:
        moment = decided_at(plan)
        lines += [
            f"DECIDED_AT = datetime({moment.year}, {moment.month}, {moment.day}, tzinfo=UTC)",
            '"""The table tells no time: every decision is taken for made at this moment."""',
        ]
    lines += [*_labels(plan), *_categories(plan), *(constants(plan.series, plan.profile) if plan.series else [])]
    if moments:
        lines += ['MOMENT = pl.Datetime("us", "UTC")']
    if words:
        lines += ['WORD = r"\\S+"']
    return "\n".join(lines).rstrip()


def _build(plan: Plan, groups: list[str]) -> str:
    named = list(dict.fromkeys([*plan.key, *filter(None, [plan.profile.entity])]))
    gathered = ", ".join(f"*{group}()" for group in groups)
    selected = [
        '"site",',
        *(f"{python_text(name)}," for name in named),
        '"decided_at",',
        'label().alias("label"),',
        "*(feature.cast(pl.Float32) for feature in features),",
    ]
    order = ", ".join(python_text(name) for name in dict.fromkeys(["decided_at", *plan.key]))
    lines = ["def build(tables: Mapping[str, pl.LazyFrame]) -> pl.LazyFrame:"]
    if plan.series:
        lines += [
            '    """Return `site`, the key, `decided_at`, `label` and the features of the rows asked for, in order."""',
            f"    rows = numbered(tables[{python_text(plan.table)}])",
            "    wanted = asked(rows)",
            f"    features = [{gathered}]",
            '    with_past = wanted.join(before(wanted, rows), on=QUERY, how="left")',
            "    return with_past.select(",
        ]
    else:
        lines += [
            '    """Return `site`, the key, `decided_at`, `label` and the features of every row, oldest first."""',
            f"    rows = tables[{python_text(plan.table)}].with_columns(decided_at={_decided(plan)})",
            f"    features = [{gathered}]",
            "    return rows.select(",
        ]
    return "\n".join([*lines, *(f"        {one}" for one in selected), f"    ).sort({order})"])


def _decided(plan: Plan) -> str:
    time = plan.profile.time
    return f"pl.col({python_text(time)}).cast({_MOMENT})" if time else "pl.lit(DECIDED_AT)"


def _numbered(plan: Plan) -> str:
    order = ", ".join(python_text(name) for name in plan.key)
    return "\n".join(
        [
            "def numbered(rows: pl.LazyFrame) -> pl.LazyFrame:",
            '    """Return the rows with the moment of decision, and a number each in the order of the key."""',
            f"    moment = {_decided(plan)}",
            f"    return rows.sort({order}).with_row_index(QUERY).with_columns(moment.alias(AT), decided_at=moment)",
        ]
    )


_WINDOWS = "from factory.features.windows import AT, QUERY, Total, asked, last_before, totals_before"
_MOMENT = 'pl.Datetime("us", "UTC")'


def _label(plan: Plan) -> str:
    profile = plan.profile
    target = profile.columns[profile.target]
    there = f"pl.col({python_text(target.name)})"
    if target.kind == "Float64":
        there += ".fill_nan(None)"
    what, code = plan.start.label(profile, there)
    codes = plan.start.codes(profile)
    unknown = " or is none of LABELS" if codes else ""
    return "\n".join(
        [
            "def label() -> pl.Expr:",
            f'    """Return {what}; null where it is not known yet{unknown}."""',
            f"    return {code}",
        ]
    )


def _labels(plan: Plan) -> list[str]:
    codes = plan.start.codes(plan.profile)
    if not codes:
        return []
    pairs = (f"    {python_value(value)}: {python_value(label)}," for value, label in codes.items())
    return [
        "LABELS = {",
        *pairs,
        "}",
        '"""The label of each value the target may have; a row with another has none."""',
    ]


def _categories(plan: Plan) -> list[str]:
    numbered = [feature for feature in plan.features if feature.values]
    if not numbered:
        return []
    lines = ["CATEGORIES = {"]
    for feature in numbered:
        values = [f"        {python_text(value)}," for value in feature.values]
        lines += [f"    {python_text(feature.column)}: [", *values, "    ],"]
    return [*lines, "}", '"""The values that have a number, the commonest first: 1, 2, 3, …"""']


def _group(group: str, features: list[Feature]) -> str:
    return "\n".join(
        [
            f"def {group}() -> list[pl.Expr]:",
            f'    """{_GROUP_DOCS[group]}"""',
            "    return [",
            *(f"        {feature.code}," for feature in features),
            "    ]",
        ]
    )


_HAS_WORD = '''\
def has_word(column: str, words: str) -> pl.Expr:
    """Return whether a text has a word of letters, or several in a row, in whatever case."""
    in_a_row = r"[^\\p{L}]+".join(words.split())
    return pl.col(column).str.contains(rf"(?i)\\b{in_a_row}\\b")'''


_CODE_OF = '''\
def code_of(column: str) -> pl.Expr:
    """Return the number of a value in CATEGORIES, 0 for any other, null where there is none."""
    numbers = {value: number for number, value in enumerate(CATEGORIES[column], 1)}
    value = pl.col(column)
    return pl.when(value.is_not_null()).then(value.replace_strict(numbers, default=0, return_dtype=pl.Float32))'''
