"""What looks like a leak in the rows that train and judge a candidate: divided feature rows in, findings out.

A finding is sure where no honest feature could look so: one that is the label by another name, a thing that is on both
sides of a division by things, a judged table that was copied from the rows that train. Others are suspects: they are
told, and refuse nothing. What the rows cannot show, a feature that looks at the future, the proof of the features finds
(factory/features/leak_proof.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from factory.line.line import Line
from factory.line.split import DECIDED_AT, LABEL, EntitySplit, Parts
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
STEP, LOOKS = 0.003, 4
"""Rows are copies where they lie in the same cell, so many standard deviations wide, in each of so many directions."""
LEAST_MEANS = 4
"""With fewer different values a feature may be the mean of its rows' labels by chance."""
SOME_GROUPS = 50
"""So many things with labels that differ are looked into: one that a feature does not tell apart is enough."""
CYCLES = (2, 10, 60, 100)
"""What a whole number may hide in its remainder: its parity, its last digits, its seconds."""
MANY_COPIES, MOSTLY, BY_CHANCE = 0.05, 0.5, 0.01
"""Shares of the judged rows, and how many copies of each chance may make: features of few values are often equal."""
_HASH = "_hash"


class Learnt(NamedTuple):
    """The rows that models learn from, or are chosen by, to recognise copies of them."""

    marks: pl.Series
    """Each row's mark once; see `row_marks`."""
    spread: Mapping[str, float]
    """The standard deviation of each feature."""


class Finding(NamedTuple):
    """One thing that was found, and whether it is sure."""

    text: str
    is_sure: bool


def leak_figures(line: Line, parts: Parts, learnt: Learnt, suspected: Sequence[str | None] = ()) -> dict[str, Figure]:
    """Return what is found among one site's rows; `learnt` are the rows of all sites that models learn from.

    `suspected` are sentences on what others suspect: the proof of the features, and `site_suspect`.

    `leaks` and `leak_suspects` are sentences, None where there is nothing; `copied_share` is the share of the judged
    rows whose features and label are those of a row that is learnt from.
    """
    rows, copied = _labelled(parts).sort(DECIDED_AT, maintain_order=True), _copied_share(parts, learnt)
    findings = [Finding(text, is_sure=False) for text in suspected if text]
    if _tells(rows):
        targets = _targets(rows)
        findings += [*_features(line, rows, targets), *_order(line, rows, targets)]
    findings += _things(line, parts)
    if copied is not None and copied >= MANY_COPIES and len(parts.holdout) >= LEAST_ROWS:
        findings += _copies(line, rows, learnt, copied)
    return {
        "leaks": "; ".join(finding.text for finding in findings if finding.is_sure) or None,
        "leak_suspects": "; ".join(finding.text for finding in findings if not finding.is_sure) or None,
        "copied_share": copied,
    }


def learnt_from(line: Line, parts: Parts) -> Learnt:
    """Return what recognises copies of the rows that models learn from, or are chosen by; of all sites together."""
    rows = pl.concat([parts.train, parts.validation])
    known = rows.select(_number(name).std() for name in line.features.columns)
    spread = {name: float(known[name].item() or 1.0) if len(known) else 1.0 for name in line.features.columns}
    return Learnt(marks=row_marks(rows, spread).unique(), spread=spread)


def site_suspect(parts: Parts) -> str | None:
    """Return what to say where the site alone tells the label; `parts` are rows of all sites."""
    rows = _labelled(parts)
    if rows[SITE].n_unique() < 2 or not _tells(rows):
        return None
    share = skill(rows[SITE], _targets(rows))
    if share < TELLS_ALONE:
        return None
    return f"the site alone tells {share:.1%} of the label: what tells sites apart, such as a unit, tells it, too"


def row_marks(rows: pl.DataFrame, spread: Mapping[str, float]) -> pl.Series:
    """Return a mark of each row that is equal where labels are and features differ by a trifle, if at all.

    Features are seen from a few random directions and cut into cells (Datar, Immorlica, Indyk and Mirrokni,
    Locality-Sensitive Hashing Scheme Based on p-Stable Distributions, 2004); what is unknown is far from all that is
    known. Copies that differ by less than a thousandth of a standard deviation mostly have one mark.
    """
    scaled = rows.select((_number(name) / spread[name]).clip(-1e6, 1e6).fill_null(-1e6) for name in spread).to_numpy()
    directions = np.random.default_rng(SEED).normal(size=(len(spread), LOOKS))
    cells = np.floor(scaled @ directions / STEP + 0.5).astype(np.int64)
    looks = pl.DataFrame(cells, schema=[f"{_HASH}{look}" for look in range(LOOKS)])
    return looks.select(pl.struct(pl.all(), rows[LABEL].cast(pl.String)).hash(seed=1).alias(_HASH)).to_series()


def _number(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Float64).fill_nan(None)


def _labelled(parts: Parts) -> pl.DataFrame:
    return pl.concat([parts.train, parts.validation, parts.holdout])


def _features(line: Line, rows: pl.DataFrame, targets: Floats) -> Iterator[Finding]:
    """Yield features that are the label, or tell it almost alone; rows are in time's order."""
    following, groups = _following(line, rows), dict(_groups(line, rows))
    for name in line.features.columns:
        if name in line.label.known_before:
            continue
        values = rows[name].cast(pl.Float64).fill_nan(None)
        if how := _is_label(values, rows[LABEL]) or _is_mean_of(values, targets) or _is_next(values, following):
            yield Finding(f"the feature {name} is the label by another name: {how}", is_sure=True)
        elif (share := _told_alone(values, targets)) >= TELLS_ALONE:
            yield Finding(f"the feature {name} tells {share:.1%} of the label alone", is_sure=False)
        elif group := next((group for group, some in groups.items() if _tells_within(name, some, group)), None):
            yield Finding(
                f"the feature {name} tells the labels of each {group} apart: it may be made of their sum", is_sure=False
            )


def _told_alone(values: pl.Series, targets: Floats) -> float:
    """Return the share of the label that a feature tells alone.

    By its value, by where it is missing, by rows of the same value, or by what a whole number hides in its remainder.
    """
    told = [skill(values, targets), missing_skill(values, targets), _told_by_neighbours(values, targets)]
    known = values.drop_nulls()
    told.append(_told_by_likes(values, targets))
    if known.n_unique() > CYCLES[-1] and (known == known.floor()).all():
        told += [_told_by_likes(values % cycle, targets) for cycle in CYCLES]
    return max(told)


def _told_by_likes(values: pl.Series, targets: Floats) -> float:
    """Return the share that the other rows of the same value tell; 0 where values hardly repeat."""
    if values.n_unique() > len(values) / 3:
        return 0.0
    codes = values.rank("dense").fill_null(0).cast(pl.Int64).to_numpy()
    rows = np.bincount(codes)
    sums = np.stack([np.bincount(codes, column) for column in targets.T], axis=1)
    others, middle = (rows - 1)[codes][:, None], targets.mean(axis=0)
    said = np.where(others > 0, (sums[codes] - targets) / np.maximum(others, 1), middle)
    plain = ((targets - middle) ** 2).sum()
    return float(max(0.0, 1 - ((targets - said) ** 2).sum() / plain)) if plain > 0 else 0.0


def _is_mean_of(values: pl.Series, targets: Floats) -> str | None:
    """Return that a feature is the mean label of the rows that share its value, as no honest one is so exactly.

    In other units, too, where it has enough different values for a straight line to be no accident.
    """
    distinct = values.drop_nulls().n_unique()
    if not LEAST_MEANS <= distinct <= len(values) * MOSTLY:
        return None
    for target in targets.T:
        means = pl.DataFrame({"x": values, "y": target}).drop_nulls().group_by("x").agg(pl.col("y").mean())
        is_mean = float((means["x"] - means["y"]).abs().max()) <= 1e-6  # type: ignore[arg-type]
        if is_mean or (distinct >= LEAST_OF_A_LABEL and 1 - _correlation(means) ** 2 <= SAME):
            return "it is the mean label of the very rows that have it, these included"
    return None


def _following(line: Line, rows: pl.DataFrame) -> list[pl.Series]:
    """Return the label of the row that comes next in time, of its site and of its thing; rows are in time's order."""
    if rows[DECIDED_AT].n_unique() < LEAST_ROWS:
        return []
    return [rows.select(pl.col(LABEL).shift(-1).over(of)).to_series() for of in ([SITE], [*line.features.entity]) if of]


def _is_next(values: pl.Series, following: Sequence[pl.Series]) -> str | None:
    """Return that a feature is the label of the row that comes next."""
    for label in following:
        both = pl.DataFrame({"x": values, "y": label}).drop_nulls()
        if len(both) >= LEAST_ROWS and _is_label(both["x"], both["y"]):
            return "it is that of the row that comes next"
    return None


def _groups(line: Line, rows: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield the columns of entity and key that have several rows to a value, each with the rows of some values."""
    for name in dict.fromkeys([*line.features.entity, *line.features.key]):
        if name not in line.features.columns and LEAST_OF_A_LABEL <= rows[name].n_unique() <= len(rows) / 3:
            several = rows.group_by(name).agg(pl.col(LABEL).n_unique().alias("labels")).filter(pl.col("labels") > 1)
            yield name, rows.join(several.sort(name).head(SOME_GROUPS).select(name), on=name, how="semi")


def _tells_within(name: str, rows: pl.DataFrame, group: str) -> bool:
    """Whether a feature is one to one with the label in each of some groups, as a mean of the others' labels is."""
    values = _number(name).round_sig_figs(6)
    per = (
        rows.filter(_number(name).is_not_null())
        .group_by(group)
        .agg(
            values.n_unique().alias("x"),
            pl.col(LABEL).n_unique().alias("y"),
            pl.struct(values, LABEL).n_unique().alias("xy"),
        )
    )
    mixed = per.filter(pl.col("y") > 1)
    return len(mixed) >= LEAST_OF_A_LABEL and bool(((mixed["xy"] == mixed["y"]) & (mixed["x"] == mixed["y"])).all())


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
                f"the key {name} tells {alone:.1%} of the label: its rows are in the label's order, or its digits "
                "hold it, and a feature that follows it tells it too",
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


def _copied_share(parts: Parts, learnt: Learnt) -> float | None:
    """Return the share of the judged rows that are learnt from, too; None where none is judged."""
    if parts.holdout.is_empty():
        return None
    return float(row_marks(parts.holdout, learnt.spread).is_in(learnt.marks.implode()).mean())  # type: ignore[arg-type]


def _copies(line: Line, rows: pl.DataFrame, learnt: Learnt, copied: float) -> Iterator[Finding]:
    """Yield what to say of many copies, where chance does not make them."""
    if _copies_by_chance(line, rows, learnt) > BY_CHANCE:
        return
    yield Finding(
        f"{copied:.1%} of the rows judged are learnt from, too: with the same label, and features that hardly differ. "
        "Remove the copies, or keep them on one side: `features: entity`",
        is_sure=isinstance(line.split, EntitySplit) and copied >= MOSTLY,
    )


def _copies_by_chance(line: Line, rows: pl.DataFrame, learnt: Learnt) -> float:
    """Return how many copies of a row would be among the rows learnt from if its features were independent."""
    alike = 0.0
    for name in line.features.columns:
        counts = rows.group_by((_number(name) / learnt.spread[name] / STEP).round()).len()["len"].to_numpy()
        alike += float(np.log(((counts / counts.sum()) ** 2).sum()))
    return float(len(learnt.marks) * np.exp(alike))
