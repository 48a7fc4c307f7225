"""README.md of a new line: what was found in the table, what became of it, and what a person must decide."""

from collections.abc import Iterator

from factory.line.site_names import UNKNOWN, SiteNames
from factory.scaffold.features import late_moments
from factory.scaffold.plan import Plan, in_the_future
from factory.scaffold.profiling.profile import Column
from factory.scaffold.profiling.task import MANY_CLASSES
from factory.scaffold.series import spoken
from factory.scaffold.texts import code_span, escaped, said

_SHOWN = 60
_FEW_ROWS = 50


def readme_file(plan: Plan) -> str:
    """Return README.md."""
    profile = plan.profile
    target = profile.columns[profile.target]
    parts = [
        f"# {plan.name}",
        f"Tells {code_span(target.source_name)} for each row of {code_span(profile.at.at)} "
        f"({profile.rows:,} rows, {len(profile.columns)} columns). Written by `factory new line` on {plan.made}.",
        f"Task: **{profile.task.kind}**, because the target has {escaped(said(profile.task.why, 200))}.",
        _table_said(plan),
        "## What you must decide\n\n" + "\n".join(f"- [ ] {one}" for one in decisions(plan)),
        "## What was left out, and why\n\n" + ("\n".join(f"- {one}" for one in _left_out(plan)) or "Nothing."),
        "## What was found\n\n" + _columns(plan),
        "## Files\n\n" + _FILES.format(table=plan.table),
    ]
    return "\n\n".join(parts) + "\n"


_FILES = """\
| file | what it says |
|---|---|
| `defs.yaml` | decision, money, gates, split, source, tables, and a sentence on each feature |
| `contracts/{table}.yaml` | what a raw row must satisfy, as a Great Expectations suite |
| `clean.py` | repairs: units, spellings, missing values |
| `features.py` | one expression a feature, and the label |"""


def decisions(plan: Plan) -> Iterator[str]:
    """Yield what only a person can decide, the weightiest first."""
    profile = plan.profile
    if profile.task.unsure:
        yield f"The target: {escaped(said(profile.task.unsure, 300))}."
    yield "The money: the amounts under `value` in `defs.yaml` are examples. Put in what a decision is worth to you."
    yield "The moment: is every feature really known when the decision is made? Strike out those that are not."
    yield from (f"{code_span(profile.columns[one.column].source_name)} {escaped(one.why)}" for one in profile.suspects)
    yield from _about_target(plan)
    yield from _about_formats(plan)
    yield from _about_time(plan)
    yield from _about_sites(plan)
    if not profile.key:
        yield (
            "The key: no column tells rows apart, so a row is known by what is in it, its target left out: `row_id`. A "
            "row that is corrected in another column is then a new one, and the old one is withdrawn; name a key in "
            "`defs.yaml` if there is one."
        )
    yield "The gates: the limits are what answering always alike would reach. Raise them to what you need."


def _about_target(plan: Plan) -> Iterator[str]:
    profile = plan.profile
    target, unlabelled = profile.columns[profile.target].counts, profile.columns[profile.target].empty
    yield from plan.start.to_decide(profile)
    if len(profile.task.classes) >= MANY_CLASSES:
        yield (
            f"The {len(profile.task.classes)} classes: the boosted trees beside the network grow a tree a class and "
            "round, so training takes minutes where it took seconds, and a page's confusion matrix is hard to read. "
            "Group classes that are decided alike."
        )
    if unlabelled:
        yield f"{unlabelled:,} rows have no target; they are taken for not known yet and teach nothing."
    yield from _about_changes(plan)
    if target.values and plan.start.has_classes and min(target.values.values()) < _FEW_ROWS:
        rare = min(target.values, key=lambda value: target.values[value] if target.values else 0)
        yield f"The class {code_span(rare)} has {target.values[rare]:,} rows, which is little to learn from."


def _about_changes(plan: Plan) -> Iterator[str]:
    """Yield how outcomes that come late and corrections come in, and what of them does not."""
    late, said = plan.profile.order.late_days() if plan.profile.order else 0, plan.changes
    how = {
        "whole": "the table is compared whole whenever it changed",
        "look_back": f"the newest {said.get('days')} days are read again with each run, and what is older is not",
        "change_column": f"rows are read again whose {code_span(said.get('column'))} is newer than any before",
    }
    if late and said:
        yield (
            f"The target comes late: the newest {late} days have next to none. Such outcomes come in once they are "
            f"known: {how[said['known_by']]}. See `changes` in `defs.yaml`."
        )
    if said.get("known_by") == "change_column":
        yield (
            f"Corrections: {how['change_column']}. Is it set with every change, that of the target too? If not, say "
            "`changes: {known_by: look_back, days: 30}` in `defs.yaml`."
        )
    elif not said and plan.cursor and not plan.is_read_whole:
        yield (
            "Corrections: no column tells when a row changed. Rows that come late or are deleted are noticed by their "
            "number; a correction of an older row that leaves the number as it is is not. If rows are corrected, say "
            "`changes: {known_by: look_back, days: 30}` in `defs.yaml`, or `change_column` and its name."
        )


def _about_formats(plan: Plan) -> Iterator[str]:
    profile = plan.profile
    for column in profile.columns.values():
        if column.shape.unread:
            yield (
                f"{column.shape.unread:,} values of {code_span(column.source_name)} are no {column.kind}, such as "
                f"{code_span(column.shape.example)}: those rows wait in quarantine. If such values are right, declare "
                "the column as String, or say under `parse` how they are written."
            )
        if column.shape.also:
            yield (
                f"{code_span(column.source_name)} can be read as {code_span(column.shape.format.replace('%', ''))} and "
                f"as {code_span(column.shape.also.replace('%', ''))}: every value fits both. The first is taken; write "
                "the other under `parse: formats` in `defs.yaml` if that is wrong."
            )


def _about_time(plan: Plan) -> Iterator[str]:
    profile = plan.profile
    if plan.unsure_split:
        yield f"Time: {escaped(said(plan.unsure_split, 300))}."
    if not profile.time or profile.order is None:
        yield (
            "Time: none was named, so old rows and new ones are mixed in the holdout. If the table has a time, make "
            "the line again with `--time`: a model is judged on what came after it was trained."
        )
        return
    if plan.series:
        known = f"{spoken(plan.series.outcome_after)} later" if plan.series.outcome_after else "at once"
        yield (
            f"The past: rows of one series are {spoken(plan.series.spacing)} apart, so features look back up to "
            f"{plan.series.days} days. A row's numbers are taken for known at its time, its target {known}: "
            "`OUTCOME_AFTER` in `features.py`. If it is known later, write so, or the model learns what it cannot know."
        )
    nulls = profile.columns[profile.time].empty
    if nulls:
        whole = "" if plan.cursor else ", and the table is compared whole each time"
        yield f"{nulls:,} rows have no time: those rows wait in quarantine{whole}."
    if profile.order.backwards:
        what = f", {profile.order.entity_backwards:,} of them within an entity" if profile.entity else ""
        yield (
            f"Time goes backwards at {profile.order.backwards:,} rows{what}; features are sorted by time. Rows that "
            "come late are found as `changes` in `defs.yaml` say."
        )
    if in_the_future(profile, plan.made):
        yield (
            f"The newest time, {profile.columns[profile.time].counts.high:%Y-%m-%d}, had not come yet on {plan.made}. "
            f"The line looks at the rows before `as_of` {plan.as_of}."
        )
    if gap := profile.order.gap():
        yield f"The longest time without a row is {gap[1].days} days, after {gap[0]}. Is something missing?"


def _about_sites(plan: Plan) -> Iterator[str]:
    profile = plan.profile
    if not profile.site:
        return
    small = [(value, rows) for value, (rows, _) in profile.labelled.items() if rows < _FEW_ROWS]
    silent = [value for value, (_, known) in profile.labelled.items() if not known]
    if small:
        shown = ", ".join(f"{code_span(value)} ({rows:,})" for value, rows in sorted(small, key=str)[:10])
        yield f"{len(small)} sites have fewer than {_FEW_ROWS} rows and will hardly pass their gates: {shown}."
    if silent:
        shown = ", ".join(code_span(value) for value in sorted(silent, key=str)[:10])
        yield f"No row of {shown} has a target: such a site keeps the base model, which nothing there can judge."
    if None in profile.labelled:
        rows = profile.labelled[None][0]
        yield f"{rows:,} rows name no site; they are the site `{UNKNOWN}`."
    rule = SiteNames(**plan.site_names)
    renamed = [value for value in profile.labelled if value is not None and rule.site(value) != value]
    if renamed:
        shown = ", ".join(f"{code_span(one)} → `{rule.site(one)}`" for one in sorted(renamed)[:10])
        yield f"A site is also a folder and a model, so some are named anew: {shown}. See `site_names` in `defs.yaml`."


def _table_said(plan: Plan) -> str:
    profile = plan.profile
    said_ = [f"Rows are told apart by {', '.join(f'`{name}`' for name in plan.key)}."]
    if profile.site:
        said_.append(f"Its {len(profile.labelled):,} sites are the values of {_name(plan, profile.site)}.")
    if profile.time and profile.order and profile.order.days:
        days = profile.order.days
        said_.append(f"{_name(plan, profile.time)} goes from {min(days)} to {max(days)}.")
    if profile.entity:
        said_.append(f"A row is about {_name(plan, profile.entity)}.")
    return " ".join(said_)


def _name(plan: Plan, column: str) -> str:
    return code_span(plan.profile.columns[column].source_name)


def _left_out(plan: Plan) -> Iterator[str]:
    profile = plan.profile
    for one in profile.personal:
        where = "it never enters the factory" if one.column in plan.private else "it is no feature, but has a role here"
        yield f"{_name(plan, one.column)} {escaped(one.why)}: {where}."
    for one in profile.suspects:
        if one.left_out:
            yield f"{_name(plan, one.column)} {escaped(one.why)}: no feature, lest the model learn what it cannot know."
    for name in late_moments(profile):
        yield f"{_name(plan, name)} is often later than the decision: no feature."
    for source_name, why in profile.unused.items():
        yield f"{code_span(source_name)}: {escaped(said(why))}; it never enters the factory."
    used = {profile.target, profile.site, profile.time, profile.entity, *plan.key}
    for name, column in profile.columns.items():
        reasons = {
            "nothing": "has no value",
            "id": "has another value in nearly every row",
            "constant": "is always the same",
        }
        if name not in used and column.holds in reasons and name not in profile.left_out:
            yield f"{code_span(column.source_name)} {reasons[column.holds]}."


def _columns(plan: Plan) -> str:
    rows = ["| column | in the line | holds | missing | values | features |", "|---|---|---|---|---|---|"]
    for name, column in list(plan.profile.columns.items())[:_SHOWN]:
        features = [one.name for one in plan.features if one.name == name or one.name.startswith(f"{name}_")]
        rows.append(
            f"| {code_span(column.source_name)} | `{name}` | {_role(plan, column)} | {column.null_share:.1%} "
            f"| {_values(plan, column)} | {len(features)} |"
        )
    rest = len(plan.profile.columns) - _SHOWN
    return "\n".join(rows) + (f"\n\nand {rest:,} more, all in `defs.yaml`." if rest > 0 else "")


def _role(plan: Plan, column: Column) -> str:
    profile = plan.profile
    roles = {profile.target: "target", profile.site: "site", profile.time: "time", profile.entity: "entity"}
    return roles.get(column.name) or ("key" if column.name in plan.key else column.holds)


def _values(plan: Plan, column: Column) -> str:
    counts = column.counts
    if column.name in plan.private or counts.low is None:
        return "not shown" if column.name in plan.private else "none"
    if column.holds in ("category", "flag", "constant") and counts.values:
        common = sorted(counts.values, key=lambda value: -(counts.values or {})[value])[:5]
        return ", ".join(said(value, 20) for value in common) + (" …" if len(counts.values) > 5 else "")
    about = "" if counts.distinct.exact else "about "
    if column.kind == "String":
        return f"{about}{counts.distinct.count:,} different"
    shown = (
        f"{counts.low:%Y-%m-%d} to {counts.high:%Y-%m-%d}"
        if column.holds == "moment"
        else f"{counts.low:g} to {counts.high:g}"
    )
    return f"{shown}, {about}{counts.distinct.count:,} different"
