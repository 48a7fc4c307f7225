"""What looks like a leak in the rows that train and judge a candidate: divided feature rows in, findings out.

A finding is sure where no honest feature could look so: one that is the label by another name, a thing that is on both
sides of a division by things, a judged table that was copied from the rows that train. Others are suspects: they are
told, and refuse nothing. What the rows cannot show, a feature that looks at the future, the proof of the features finds
(factory/features/leak_proof.py).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from factory.line.line import Line
from factory.line.split import LABEL, EntitySplit, Parts
from factory.model.check import Figure
from factory.scaffold.profiling.association import Floats, missing_skill, skill, targets_of
from factory.storage.columns import SITE

LEAST_ROWS, LEAST_OF_A_LABEL = 30, 10
"""Fewer rows, or fewer rows of a label, show nothing: what looks like a leak may be chance."""
CLASSES = 50
"""Labels of more values than this are numbers, which are one to one with any other number by chance."""
TELLS_ALONE = 0.9
"""The share of the label that one column tells, on rows it was not looked at, from which it is a suspect."""
SEED = 7
"""By which rows of equal values are put in some order."""
SAME = 1e-9
"""What a straight line may leave of a number's variance where the two are the same in other units."""
DIGITS = 6
"""Rows whose features are equal in so many digits are copies."""
MANY_COPIES, MOSTLY, BY_CHANCE = 0.05, 0.5, 0.01
"""Shares of the judged rows, and how many copies of each chance may make: features of few values are often equal."""
_HASH = "_hash"


class Finding(NamedTuple):
    """One thing that was found, and whether it is sure."""

    text: str
    is_sure: bool


def leak_figures(
    line: Line, parts: Parts, learnt: pl.Series, suspected: Sequence[str | None] = ()
) -> dict[str, Figure]:
    """Return what is found among one site's rows; `learnt` are the marks of all rows that models learn from.

    `suspected` are sentences on what others suspect: the proof of the features, and `site_suspect`.

    `leaks` and `leak_suspects` are sentences, None where there is nothing; `copied_share` is the share of the judged
    rows whose features and label are those of a row that is learnt from.
    """
    rows, copied = _labelled(parts), _copied_share(line, parts, learnt)
    findings = [Finding(text, is_sure=False) for text in suspected if text]
    if _tells(rows):
        targets = _targets(rows)
        findings += [*_features(line, rows, targets), *_order(line, rows, targets)]
    findings += _things(line, parts)
    if copied is not None and copied >= MANY_COPIES and len(parts.holdout) >= LEAST_ROWS:
        findings += _copies(line, rows, len(learnt), copied)
    return {
        "leaks": "; ".join(finding.text for finding in findings if finding.is_sure) or None,
        "leak_suspects": "; ".join(finding.text for finding in findings if not finding.is_sure) or None,
        "copied_share": copied,
    }


def marks_learnt_from(line: Line, parts: Parts) -> pl.Series:
    """Return the marks of the rows that models learn from, or are chosen by, each once; of all sites together."""
    return row_marks(line, pl.concat([parts.train, parts.validation])).unique()


def site_suspect(parts: Parts) -> str | None:
    """Return what to say where the site alone tells the label; `parts` are rows of all sites."""
    rows = _labelled(parts)
    if rows[SITE].n_unique() < 2 or not _tells(rows):
        return None
    share = skill(rows[SITE], _targets(rows))
    if share < TELLS_ALONE:
        return None
    return f"the site alone tells {share:.1%} of the label: what tells sites apart, such as a unit, tells it, too"


def row_marks(line: Line, rows: pl.DataFrame) -> pl.Series:
    """Return a mark of each row that is equal where features, to six digits, and label are."""
    values = [pl.col(name).cast(pl.Float64).round_sig_figs(DIGITS).fill_nan(None) for name in line.features.columns]
    return rows.select(pl.struct(*values, pl.col(LABEL).cast(pl.String)).hash(seed=1).alias(_HASH)).to_series()


def _labelled(parts: Parts) -> pl.DataFrame:
    return pl.concat([parts.train, parts.validation, parts.holdout])


def _features(line: Line, rows: pl.DataFrame, targets: Floats) -> Iterator[Finding]:
    """Yield features that are the label, or tell it almost alone."""
    for name in line.features.columns:
        if name in line.label.known_before:
            continue
        values = rows[name].cast(pl.Float64).fill_nan(None)
        if how := _is_label(values, rows[LABEL]):
            yield Finding(f"the feature {name} is the label by another name: {how}", is_sure=True)
        elif (share := _told_alone(values, targets)) >= TELLS_ALONE:
            yield Finding(f"the feature {name} tells {share:.1%} of the label alone", is_sure=False)


def _told_alone(values: pl.Series, targets: Floats) -> float:
    """Return the share of the label that a feature tells alone, by its value or by where it is missing."""
    return max(skill(values, targets), missing_skill(values, targets), _told_by_neighbours(values, targets))


def _told_by_neighbours(values: pl.Series, targets: Floats) -> float:
    """Return the share that the two rows tell whose values are next to a row's own; bins are too coarse for a copy."""
    if values.null_count() > len(values) / 2:
        return 0.0
    known = np.random.default_rng(SEED).permutation(np.flatnonzero(values.is_not_null().to_numpy()))
    ordered = targets[known[np.argsort(values.to_numpy()[known], kind="stable")]]
    missed = ((ordered[1:-1] - (ordered[:-2] + ordered[2:]) / 2) ** 2).sum()
    plain = ((ordered[1:-1] - ordered.mean(axis=0)) ** 2).sum()
    return float(1 - missed / plain) if plain > 0 else 0.0


def _tells(rows: pl.DataFrame) -> bool:
    """Whether there are enough rows, and more than one label, to tell anything."""
    labels = rows[LABEL].n_unique()
    if len(rows) < LEAST_ROWS or labels < 2:
        return False
    return _is_number(rows[LABEL]) or int(rows[LABEL].value_counts()["count"].sort()[-2]) >= LEAST_OF_A_LABEL


def _is_number(label: pl.Series) -> bool:
    """Whether labels are numbers; few different ones are taken for classes, and so are names, however many."""
    return label.dtype.is_numeric() and label.n_unique() > CLASSES


def _targets(rows: pl.DataFrame) -> Floats:
    """Return labels as numbers, or a column for each of the commonest classes."""
    label = rows[LABEL]
    common = label.value_counts(sort=True)[LABEL].head(CLASSES).cast(pl.String)
    return targets_of(label, () if _is_number(label) else tuple(common))


def _is_label(values: pl.Series, label: pl.Series) -> str | None:
    """Return how a feature is the label; None where it is not."""
    if _is_number(label):
        both = pl.DataFrame({"x": values, "y": label.cast(pl.Float64)}).drop_nulls()
        is_same = len(both) >= LEAST_ROWS and both["x"].n_unique() > CLASSES and 1 - _correlation(both) ** 2 <= SAME
        return "the same number in other units" if is_same else None
    if len(_pairs(values, label)):
        return "each of its values has a label of its own"
    missing = _pairs(values.is_null(), label).filter("x")
    return f"it is missing where the label is {missing['y'][0]}, and nowhere else" if len(missing) else None


def _pairs(values: pl.Series, label: pl.Series) -> pl.DataFrame:
    """Return values and labels in pairs if each has one of its own; else none."""
    pairs = pl.DataFrame({"x": values, "y": label}).unique()
    one_to_one = len(pairs) == pairs["x"].n_unique() == pairs["y"].n_unique() > 1
    return pairs if one_to_one else pairs.clear()


def _correlation(both: pl.DataFrame) -> float:
    correlation = both.select(pl.corr("x", "y")).item()
    return 0.0 if correlation is None or not np.isfinite(correlation) else float(correlation)


def _order(line: Line, rows: pl.DataFrame, targets: Floats) -> Iterator[Finding]:
    """Yield columns of the key that tell the label, as in a file that is sorted by it."""
    for name in line.features.key:
        if name in line.features.columns or not rows.schema[name].is_numeric():
            continue
        alone = _told_alone(rows[name].cast(pl.Float64), targets)
        if alone >= TELLS_ALONE:
            yield Finding(
                f"the key {name} tells {alone:.1%} of the label: its rows are in the label's order, and a feature that "
                "follows that order tells it too",
                is_sure=False,
            )


def _things(line: Line, parts: Parts) -> Iterator[Finding]:
    """Yield things that are both learnt from and judged on, where that tells something."""
    learnt, entity = pl.concat([parts.train, parts.validation]), list(line.features.entity)
    by_things = isinstance(line.split, EntitySplit)
    if not entity:
        if by_things and len(line.features.key) > 1:
            yield from _unnamed_things(line, parts, learnt)
        return
    shared = parts.holdout.join(learnt.select(entity).unique(), on=entity, how="semi", nulls_equal=True)
    things, named = shared.select(pl.struct(entity).n_unique()).item(), ", ".join(entity)
    if things and by_things:
        yield Finding(f"{things} of {named} are learnt from and judged on", is_sure=True)
    elif things and len(shared) >= MOSTLY * len(parts.holdout) and _keeps_label(_labelled(parts), entity):
        yield Finding(
            f"the label never changes within {named}, and {things} of them are learnt from and judged on: whoever "
            "recognises the thing knows its label. Divide by whole things: `split: {holdout_share: 0.2}`",
            is_sure=False,
        )


def _unnamed_things(line: Line, parts: Parts, learnt: pl.DataFrame) -> Iterator[Finding]:
    """Yield parts of the key that look like things with several rows each, on both sides."""
    rows = len(parts.holdout) + len(learnt)
    for name in line.features.key:
        things = pl.concat([parts.holdout[name], learnt[name]]).n_unique()
        shared = parts.holdout.join(learnt.select(name).unique(), on=name, how="semi", nulls_equal=True)
        has_several = rows >= LEAST_ROWS and LEAST_OF_A_LABEL <= things <= rows / 3
        if has_several and len(shared) >= MOSTLY * len(parts.holdout):
            yield Finding(
                f"{name} has {things} values in {rows} rows, and most rows judged have one that is learnt from: if its "
                f"rows are about one thing, say so: `features: entity: [{name}]`",
                is_sure=False,
            )


def _keeps_label(rows: pl.DataFrame, entity: Sequence[str]) -> bool:
    """Whether things with several rows have one label each, and not all the same."""
    labels = rows.group_by(entity).agg(pl.len().alias("rows"), pl.col(LABEL).n_unique().alias("labels"))
    several = labels.filter(pl.col("rows") > 1)
    return len(several) >= LEAST_OF_A_LABEL and int(several["labels"].max()) == 1 and rows[LABEL].n_unique() > 1  # type: ignore[arg-type]


def _copied_share(line: Line, parts: Parts, learnt: pl.Series) -> float | None:
    """Return the share of the judged rows that are learnt from, too; None where none is judged."""
    if parts.holdout.is_empty():
        return None
    return float(row_marks(line, parts.holdout).is_in(learnt.implode()).mean())  # type: ignore[arg-type]


def _copies(line: Line, rows: pl.DataFrame, learnt: int, copied: float) -> Iterator[Finding]:
    """Yield what to say of many copies, where chance does not make them."""
    if _copies_by_chance(line, rows, learnt) > BY_CHANCE:
        return
    yield Finding(
        f"{copied:.1%} of the rows judged are learnt from, too: features and label are the same to {DIGITS} digits. "
        "Remove the copies, or keep them on one side: `features: entity`",
        is_sure=isinstance(line.split, EntitySplit) and copied >= MOSTLY,
    )


def _copies_by_chance(line: Line, rows: pl.DataFrame, learnt: int) -> float:
    """Return how many copies of a row would be among the rows learnt from if its features were independent."""
    alike = 0.0
    for name in line.features.columns:
        counts = rows.group_by(name).len()["len"].to_numpy()
        alike += float(np.log(((counts / counts.sum()) ** 2).sum()))
    return float(learnt * np.exp(alike))
