"""defs.yaml and README.md of a new line of several tables."""

from collections.abc import Iterator
from typing import Any

from factory.line.reference import EDITOR_LINE
from factory.line.windows import KINDS, Window
from factory.scaffold.line_file import table_arguments, wrapped
from factory.scaffold.plan import ROW_ID, parse_section, schedule_of
from factory.scaffold.several.plan import TablePlan, TablesPlan
from factory.scaffold.starting_points import EVENT_TASK, STARTING_POINTS
from factory.scaffold.texts import code_span, escaped, said, yaml_value

_LEARNT_SHARE = 0.64


def tables_line_file(plan: TablesPlan) -> str:
    """Return defs.yaml."""
    return "\n\n".join([_head(plan), _judging(plan), _source(plan), _tables(plan), _features(plan)]) + "\n"


def _head(plan: TablesPlan) -> str:
    places = said(", ".join(plan.tables), 200)
    purpose = f"Tell of each row of {plan.of}, every {plan.calendar['every']}: does one of {plan.event} come within "
    lines = [
        EDITOR_LINE,
        f"# The line `{plan.name}`, written by `factory new line` on {plan.made} from {places}.",
        "# README.md beside it says how they are joined and what you must decide. Every key is checked on loading,",
        "# and a mistake is reported with its line number: `factory check`. There is no Python behind the features.",
        "type: assets.ProductionLine",
        "",
        "attributes:",
        f"  purpose: {yaml_value(f'{purpose}{plan.horizon}?')}",
        "  owner: you@example.com",
        "",
        "  # The line looks at the world as it was known before this day (UTC). Where rows keep coming: `today`.",
        f'  as_of: "{plan.as_of}"',
        "",
        f"  task: {{kind: {EVENT_TASK}}}",
        "",
        "  # What one decision is worth, in EUR. EXAMPLE FIGURES: put in your own. An event is announced by several",
        "  # decisions, so each carries its part of it.",
        "  value:",
    ]
    money = STARTING_POINTS[EVENT_TASK].money
    return "\n".join([*lines, *(f"    {name}: {amount:g}  # {what}" for name, (amount, what) in money.items())])


def _judging(plan: TablesPlan) -> str:
    recipe = {"kind": "table", "seed": 7, **schedule_of(_LEARNT_SHARE * plan.decisions)}
    return "\n".join(
        [
            "  # What a candidate must reach on the holdout before a site may serve it. `alike: entity` counts a thing",
            "  # as one witness: its decisions resemble each other. The precision is that of guessing: raise it.",
            "  gates:",
            "    min_rows: 5",
            "    alike: entity",
            "    min_contract_share: 0.95",
            f"    at_least: {{positives: 5, average_precision: {max(plan.base_rate, 0.001):.3g}}}",
            "    against_baseline: {min_absolute_change: 0.0, min_probability: 0.1}  # refused if almost surely worse",
            "    against_champion: {min_absolute_change: 0.0, min_probability: 0.5}  # refused unless likely better",
            "    max_latency_ms: 20",
            "    max_size_mb: 50",
            "",
            "  # The newest share of the decisions is the holdout; of those before it the newest validate.",
            "  split: {holdout: 0.2, validation: 0.2}",
            "",
            f"  # 1 where a row of {plan.event} comes within the horizon, else 0; unknown until that has passed.",
            f"  label: {yaml_value({'event': plan.event, 'horizon': plan.horizon, **_by(plan)})}",
            "",
            f"  recipe: {yaml_value(recipe)}",
        ]
    )


def _by(plan: TablesPlan) -> dict[str, Any]:
    join, thing = plan.tables[plan.event].join, plan.entity[0]
    return {"by": {thing: join.column}} if join and join.column != thing else {}


def _source(plan: TablesPlan) -> str:
    lines = [
        "  # Where the rows come from. Relative paths begin at the project's folder.",
        "  source:",
        "    use: factory.connectors.tables:TableSource",
        "    arguments:",
        "      tables:",
    ]
    for table in plan.tables.values():
        lines.append(f"        {table.name}:")
        arguments = table_arguments(table.profile, table.private)
        lines += [f"          {name}: {yaml_value(value)}" for name, value in arguments.items()]
    return "\n".join([*lines, "", f"  decision_table: {plan.decision_table}"])


def _tables(plan: TablesPlan) -> str:
    lines = [
        "  tables:",
        f"    # No system keeps these decisions: each row of {plan.of}, every {plan.calendar['every']}, `at` on the",
        "    # clock of `time_zone`, UTC where it is not said. The site is a column of the things' table.",
        f"    {plan.decision_table}:",
        f"      calendar: {yaml_value(dict(plan.calendar))}",
        f"      site: {plan.site}",
    ]
    for table in plan.tables.values():
        columns = [f"{name}: {yaml_value(kind)}" for name, kind in table.columns.items()]
        lines += [f"    {table.name}:", "      columns:", *(f"        {line}" for line in wrapped(columns))]
        lines += [f"      {name}: {yaml_value(value)}" for name, value in _sections(plan, table).items() if value]
    return "\n".join(lines)


def _sections(plan: TablesPlan, table: TablePlan) -> dict[str, Any]:
    until = plan.calendar.get("until") if table.name == plan.of else None
    return {
        "key": list(table.key) or [ROW_ID],
        "surrogate_key": {} if table.key else {"column": ROW_ID},
        "cursor": table.cursor,
        "known_at": {until: [until]} if until else table.known_at,
        "site_names": {"trim": True} if table.name == plan.of else {},
        "parse": parse_section(table.profile.parse, table.columns),
        "contract": f"contracts/{table.name}.yaml",
    }


def _features(plan: TablesPlan) -> str:
    return "\n".join(
        [
            "  # How far back features look is known from the windows.",
            "  online_snapshot: {}",
            "",
            "  # What is known at the moment of the decision, and nothing later. Strike out what says nothing, add",
            "  # what you know: every kind of window is in docs/how-to/several-tables.md of the factory.",
            "  features:",
            f"    key: {yaml_value([*plan.entity, 'due_at'])}",
            f"    entity: {yaml_value(list(plan.entity))}",
            "    windows:",
            *(f"      {name}: {yaml_value(window_section(window))}" for name, window in plan.windows.items()),
        ]
    )


def window_section(window: Window) -> dict[str, Any]:
    """Return a window as a line's file writes it."""
    section = {name: value for name in (*KINDS, "within", "where", "by") if (value := getattr(window, name))}
    return section if window.equals is None else {**section, "equals": window.equals}


def tables_readme(plan: TablesPlan) -> str:
    """Return README.md."""
    parts = [
        f"# {plan.name}",
        f"Tells of each row of {code_span(plan.of)}, every {plan.calendar['every']}, whether a row of "
        f"{code_span(plan.event)} comes within {plan.horizon}. Written by `factory new line` on {plan.made}.",
        "## What you must decide\n\n" + "\n".join(f"- [ ] {escaped(one)}" for one in _decisions(plan)),
        "## How the tables are joined\n\n" + "\n".join(f"- {one}" for one in joins_in(plan)),
        "## What was left out, and why\n\n" + ("\n".join(f"- {one}" for one in _left_out(plan)) or "Nothing."),
    ]
    return "\n\n".join(parts) + "\n"


def joins_in(plan: TablesPlan) -> Iterator[str]:
    """Yield a sentence on each table: how its rows name their thing, what tells them apart, when they happened."""
    yield f"{plan.of}: a row is one of the things, known by {', '.join(plan.entity)}; {plan.site} names its site"
    for table in plan.tables.values():
        if table.join:
            key = f"known by {', '.join(table.key)}" if table.key else "known by all that is in it (no key was found)"
            when = f"happened at {table.cursor}" if table.cursor else f"one row for each of {plan.of}"
            entered = f", is known from {table.entered_at} on" if table.entered_at else ""
            yield f"{table.join.sentence}; a row is {key}, {when}{entered}"


def _decisions(plan: TablesPlan) -> Iterator[str]:
    joins = [table.join for table in plan.tables.values() if table.join]
    unsure = [*(join.sentence for join in joins if not join.is_sure), *plan.guesses]
    yield from (f"NOT SURE: {said(guess, 300)}." for guess in unsure)
    yield "The money: the amounts under `value` in `defs.yaml` are examples. Put in what a decision is worth to you."
    yield f"The time of day of the decision (`at`), its clock (`time_zone`), and whether {plan.horizon} is time enough."
    if not {"since", "until"} <= set(plan.calendar):
        yield f"Since when and until when one of {plan.of} is decided about: `since` and `until` of the calendar."
    yield "Which rows are entered later than they happened: `known_at` keeps features from knowing them before."


def _left_out(plan: TablesPlan) -> Iterator[str]:
    yield from (f"{code_span(name)}: {escaped(why)}" for name, why in plan.left_out.items())
    for table in plan.tables.values():
        personal = {one.column: one.why for one in table.profile.personal}
        reasons = {**{name: personal[name] for name in table.private}, **table.profile.unused}
        yield from (f"{code_span(f'{table.name}.{name}')}: {escaped(why)}" for name, why in reasons.items())
