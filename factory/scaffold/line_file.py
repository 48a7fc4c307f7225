"""defs.yaml of a new line, with comments that teach."""

from collections.abc import Collection
from typing import Any

from factory.connectors.tables.arguments import LAYOUT, SERVICE, TableAt, said_of
from factory.line.reference import EDITOR_LINE
from factory.scaffold.plan import ONLY_SITE, Plan, gates_of, recipe_of
from factory.scaffold.profiling.profile import TableProfile
from factory.scaffold.texts import said, yaml_value
from factory.tasks import TASKS


def line_file(plan: Plan) -> str:
    """Return defs.yaml."""
    parts = [_head(plan), _task(plan), _gates(plan), _split(plan), _source(plan), _tables(plan), _features(plan)]
    return "\n\n".join(parts) + "\n"


def _head(plan: Plan) -> str:
    target = said(plan.profile.columns[plan.profile.target].source_name)
    return "\n".join(
        [
            EDITOR_LINE,
            f"# The line `{plan.name}`, written by `factory new line` on {plan.made} from {said(plan.profile.at.at)}.",
            "# README.md beside it says what was found and what you must decide. Every key is checked on loading, and",
            "# a mistake is reported with its line number: `factory check`.",
            "type: assets.ProductionLine",
            "",
            "attributes:",
            "  # The decision, in one sentence that the person who takes it would say.",
            f"  purpose: {yaml_value(f'Tell {target} of each row before it is known.')}",
            "  owner: you@example.com",
            "",
            "  # The line looks at the world as it was known before this day (UTC); later rows come with a later day.",
            "  # Where rows keep coming write `today`, and let it run by itself: by its sensors in the UI, and",
            '  # `schedule: "0 4 1 * *"`, the first of each month at 04:00 UTC.',
            f'  as_of: "{plan.as_of}"',
        ]
    )


def _task(plan: Plan) -> str:
    task = plan.profile.task
    lines = [f"  # {said(task.why, 200)}.", f"  task: {yaml_value(plan.start.section(plan.profile))}"]
    lines += ["", "  # What one decision is worth, in EUR. EXAMPLE FIGURES: put in your own.", "  value:"]
    lines += [f"    {name}: {amount:g}  # {what}" for name, (amount, what) in plan.start.money.items()]
    return "\n".join(lines)


def _gates(plan: Plan) -> str:
    gates, figures = gates_of(plan), (*TASKS[plan.start.kind].gateable, "value_eur")
    lines = [
        "  # What a candidate must reach on the holdout before a site may serve it. The limits are what answering",
        "  # always alike would reach: raise them. Figures that can have one:",
        f"  # {', '.join(figures)}.",
        "  gates:",
        *(f"    {name}: {yaml_value(limit)}" for name, limit in gates.items()),
        "    against_baseline: {min_absolute_change: 0.0, min_probability: 0.1}  # refused if almost surely worse",
        "    against_champion: {min_absolute_change: 0.0, min_probability: 0.5}  # refused unless likely better",
        "    max_latency_ms: 20",
        "    max_size_mb: 50",
    ]
    return "\n".join(lines)


def _split(plan: Plan) -> str:
    if plan.by_time:
        why = (
            "The newest share of the rows is the holdout; of those before it the newest choose threshold,\n"
            "  # calibration, when to stop. A split takes lengths, too: `{holdout: 30d, validation: 14d}`."
        )
    elif plan.profile.entity:
        why = "By a hash of the entity: no entity is both learnt from and judged on."
    else:
        why = "By a hash of the key: the same rows are held out on every machine."
    return "\n".join(
        [
            f"  # {why}",
            *([f"  # NOT SURE: {said(plan.unsure_split, 300)}."] if plan.unsure_split else []),
            f"  split: {yaml_value(dict(plan.split))}",
            "",
            "  # What tells the outcome: it is hidden where features are proved. If it is known a week after the",
            "  # decision, say `horizon: 7d`: newer labels are unknown, and a week before the holdout is left out.",
            *(["  # `OUTCOME_AFTER` in features.py says the same to the features."] if plan.series else []),
            f"  label: {yaml_value(plan.label)}",
            "",
            "  # The network: TabM with piecewise-linear embeddings; what is not said here is the recipe's default.",
            f"  recipe: {yaml_value(recipe_of(plan))}",
        ]
    )


def _source(plan: Plan) -> str:
    lines = [
        "  # Where the rows come from; `names` gives the table's own name of a column that is no identifier,",
        "  # `leave_out` the columns that never enter the factory. Relative paths begin at the project's folder.",
        "  source:",
        "    use: factory.connectors.tables:TableSource",
        "    arguments:",
        "      tables:",
        f"        {plan.table}:",
        *(f"          {name}: {yaml_value(value)}" for name, value in source_arguments(plan).items()),
        "",
        f"  decision_table: {plan.table}",
    ]
    return "\n".join(lines)


def source_arguments(plan: Plan) -> dict[str, Any]:
    """Return what the source must know of the table: only what differs from its defaults."""
    return table_arguments(plan.profile, plan.private, "" if plan.profile.site else ONLY_SITE)


def table_arguments(profile: TableProfile, private: Collection[str], only_site: str = "") -> dict[str, Any]:
    """Return what the source must know of a table, of which some columns are left out as private."""
    kept = {name: column for name, column in profile.columns.items() if name not in private}
    arguments: dict[str, Any] = {
        "at": profile.at.at,
        **{name: said_of(getattr(profile.at, name)) for name in SERVICE},
        "names": {name: column.source_name for name, column in kept.items() if name != column.source_name},
        "leave_out": [*(profile.columns[name].source_name for name in private), *profile.unused],
        "only_site": only_site,
    }
    layout = {name: getattr(profile.at, name) for name in LAYOUT if getattr(profile.at, name) != getattr(TableAt, name)}
    return {**{name: value for name, value in arguments.items() if value}, **layout}


def _tables(plan: Plan) -> str:
    columns = [f"{name}: {yaml_value(kind)}" for name, kind in plan.columns.items()]
    sections = {
        "surrogate_key": plan.surrogate_key,
        "changes": plan.changes,
        "site_names": plan.site_names,
        "parse": plan.parse,
    }
    return "\n".join(
        [
            "  tables:",
            f"    {plan.table}:",
            "      columns:",
            *(f"        {line}" for line in wrapped(columns)),
            f"      key: {yaml_value(list(plan.key))}",
            f"      cursor: {yaml_value(plan.cursor)}",
            f"      site: {plan.site_column}",
            *(f"      {name}: {yaml_value(value)}" for name, value in sections.items() if value),
            f"      repair: lines.{plan.name}.clean:repair_{plan.table}",
            f"      contract: contracts/{plan.table}.yaml",
        ]
    )


def _features(plan: Plan) -> str:
    entity = [f"    entity: {yaml_value([plan.profile.entity])}"] if plan.profile.entity else []
    return "\n".join(
        [
            *_look_back(plan),
            "",
            "  # What is known at the moment of the decision, and nothing later; each with what it holds.",
            "  features:",
            f"    build: lines.{plan.name}.features:build",
            f"    key: {yaml_value(list(plan.key))}",
            *entity,
            "    columns:",
            *(f"      {feature.name}: {yaml_value(feature.sentence)}" for feature in plan.features),
        ]
    )


def _look_back(plan: Plan) -> list[str]:
    if plan.series is None:
        return [
            "  # A row's features come from that row alone, so the gateway needs no other to build them for a client.",
            "  # A build that looks back on earlier rows says how far: `online_snapshot: {days: 28}`.",
            "  online_snapshot: {row_alone: true}",
        ]
    return [
        "  # Features look back on earlier rows of the same series: so many days of them lie beside the models, and",
        "  # the gateway builds the features of a client's row on these.",
        f"  online_snapshot: {{days: {plan.series.days}}}",
    ]


def wrapped(entries: list[str], longest: int = 108) -> list[str]:
    """Return a YAML mapping in braces, broken between entries into lines of bounded length."""
    lines = [""]
    for entry in entries:
        if len(lines[-1]) + len(entry) > longest and lines[-1]:
            lines.append("")
        lines[-1] += f"{entry}, "
    inner = "\n ".join(line.rstrip() for line in lines).removesuffix(",")
    return f"{{{inner}}}".splitlines()
