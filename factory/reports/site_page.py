"""One site's page: facts in, HTML out."""

from dataclasses import asdict, dataclass

from factory.charts.numbers import FORMS, UNKNOWN, cents, figure, percent, whole, words
from factory.charts.pictures import Picture
from factory.reports import panels
from factory.reports.facts import SiteFacts
from factory.reports.folder import LINE_PAGE
from factory.reports.limits import FOUND
from factory.reports.rendering import page
from factory.reports.sentences import of_site, without_model, witnesses
from factory.reports.slices import worst
from factory.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One figure of one model in the table."""

    text: str
    figure: str = ""
    note: str = ""
    best: bool = False


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One figure of every model."""

    name: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True)
class Role:
    """One column of the table: a model and what people call it."""

    role: str
    name: str


@dataclass(frozen=True, kw_only=True)
class RungRow:
    """One rung of the ladder: what it is worth on validation rows, and what it costs within the horizon."""

    name: str
    chosen: bool
    loss: str
    value: str
    training_s: str
    serving_ms: str
    cost: str


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """The page's pictures by section."""

    models: list[Picture]
    behaviour: list[Picture]
    looks: list[Picture]
    training: list[Picture]
    data: list[Picture]


def site_page(facts: SiteFacts, made_from: str) -> str:
    """Return the page; every figure of merit on it is the verdict's."""
    headline = facts.line.task.headline
    overall = facts.figures.get(headline)
    return page(
        "site.html",
        made_from,
        facts=facts,
        line_page=LINE_PAGE,
        figures=facts.figures,
        headline=headline,
        summary=of_site(facts),
        interval=_between(facts.figures.get(f"{headline}_low"), facts.figures.get(f"{headline}_high"), "figure"),
        money_interval=_money_interval(facts),
        another_serves=facts.serving is not None and not facts.serves_this,
        served_judged=f"judged as of {facts.serving.as_of}" if facts.serving and facts.serving.as_of else "",
        compared=_compared(facts),
        without_model=without_model(facts),
        witnesses=witnesses(facts),
        pictures=_pictures(facts),
        roles=_roles(facts),
        metrics=_metrics(facts),
        rungs=_rungs(facts),
        weakest=worst(facts.line.task, facts.shown.slices, float(overall) if isinstance(overall, float) else None),
        why=panels.sentence(facts.why),
        why_nothing=_why_nothing(facts),
        contract=_contract(facts),
        recipe=", ".join(f"{name} {value}" for name, value in asdict(facts.line.recipe).items()),
    )


def _pictures(facts: SiteFacts) -> Pictures:
    return Pictures(
        models=panels.present(panels.models(facts), panels.money(facts)),
        behaviour=list(facts.shown.gallery.pictures) if facts.shown.gallery else [],
        looks=panels.present(panels.importance(facts), *panels.slice_pictures(facts)),
        training=panels.present(*panels.site_training(facts)),
        data=panels.present(panels.quarantine(facts)),
    )


def _between(low: object, high: object, form: str) -> str:
    if not (isinstance(low, float) and isinstance(high, float)):
        return ""
    return f"{FORMS[form](low)} to {FORMS[form](high)}"


def _money_interval(facts: SiteFacts) -> str:
    interval = facts.shown.money.get("candidate")
    return _between(interval.low, interval.high, "whole") if interval else ""


def _compared(facts: SiteFacts) -> str:
    """Return in words which rows the models answered, and which of them each had learnt from."""
    rows, new = _number(facts.figures.get("rows")), _number(facts.figures.get("rows_new_to_champion"))
    if new is None or new == rows:
        return f"All models answered the same {whole(rows)} rows, which none of them had learnt from."
    return (
        f"All models but the champion before answered the same {whole(rows)} rows, which none of them had learnt from; "
        f"the champion's figures are of the {whole(new)} rows that are new to it."
    )


def _roles(facts: SiteFacts) -> list[Role]:
    """Return the models that there are figures of; one that is the site's model itself shares its column."""
    headline = facts.line.task.headline
    return [
        Role(role=role, name=name)
        for role, name in facts.roles.items()
        if role == "candidate" or facts.figures.get(f"{role}_{headline}") is not None
    ]


def _metrics(facts: SiteFacts) -> list[Metric]:
    """Return every figure of merit and the money, of each model that there is."""
    task = facts.line.task
    names = [*task.gateable, *facts.line.figures, "value_eur", "value_per_decision_eur", "threshold"]
    roles = [role.role for role in _roles(facts)]
    return [_metric(facts, name, roles) for name in dict.fromkeys(names) if name in facts.figures]


def _rungs(facts: SiteFacts) -> list[RungRow]:
    """Return the rungs that were weighed, cheapest first; none in verdicts from before there were any."""
    names = [name for name in str(facts.figures.get("rungs") or "").split(", ") if name]
    return [_rung(facts, name) for name in names]


def _rung(facts: SiteFacts, name: str) -> RungRow:
    def of(what: str) -> float | None:
        return _number(facts.figures.get(f"{name.replace(' ', '_')}_{what}"))

    value, serving_s = of("value_per_decision_eur"), of("serving_s_per_1000")
    return RungRow(
        name=name,
        chosen=name == facts.figures.get("rung"),
        loss=figure(of("validation_loss")),
        value=whole(None if value is None else 1000 * value),
        training_s=figure(of("training_s")),
        serving_ms=figure(None if serving_s is None else 1000 * serving_s),
        cost=cents(of("cost_eur")),
    )


def _metric(facts: SiteFacts, name: str, roles: list[str]) -> Metric:
    keys = {role: name if role == "candidate" else f"{role}_{name}" for role in roles}
    best = _best(facts, name, list(keys.values()))
    cells = []
    for role, key in keys.items():
        text = FORMS[form(facts.line.task, name)](_number(facts.figures.get(key)))
        note = _interval_note(facts, name) if role == "candidate" else ""
        cells.append(Cell(text=text, figure=key if key in facts.figures else "", note=note, best=key == best))
    return Metric(name=f"{words(name)}{', EUR' if name.endswith('_eur') else ''}", cells=tuple(cells))


def _interval_note(facts: SiteFacts, name: str) -> str:
    between = _between(facts.figures.get(f"{name}_low"), facts.figures.get(f"{name}_high"), form(facts.line.task, name))
    return f"({between})" if between else ""


def _best(facts: SiteFacts, name: str, keys: list[str]) -> str:
    """Return which model's figure is best, where several have one and it is known which way is better."""
    known = {key: number for key in keys if (number := _number(facts.figures.get(key))) is not None}
    task = facts.line.task
    if len(set(known.values())) < 2 or name not in (*task.compared, "value_eur"):
        return ""
    return (min if name in task.smaller_is_better else max)(known, key=lambda key: known[key])


def form(task: Task, name: str) -> str:
    """Return how a figure is written, as its task says what it counts."""
    if name == "value_eur":
        return "whole"
    return FOUND[task.units.get(name, "number")]


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _why_nothing(facts: SiteFacts) -> str:
    rows = panels.len_rows(facts)
    return f"{whole(rows)} rows were held out" + (", all with the same outcome, or too few" if rows else "")


def _contract(facts: SiteFacts) -> str:
    """Return in words how well the data kept the contract."""
    share = UNKNOWN if facts.contract_share is None else percent(facts.contract_share)
    tables = f" Broken by the whole table: {'; '.join(facts.table_failures)}." if facts.table_failures else ""
    waiting = facts.rows.get("quarantine", 0)
    rest = f"{whole(waiting)} wait in quarantine." if waiting else "No row waits in quarantine."
    told = f" Worth a look: {'; '.join(facts.contract_warnings)}." if facts.contract_warnings else ""
    return f"{share} of the rows keep the contract. {rest}{tables}{told}"


__all__ = ["figure", "form", "site_page"]
