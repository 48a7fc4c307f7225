"""The line's page: all sites side by side."""

from dataclasses import asdict, dataclass

from factory.charts.numbers import UNKNOWN, figure, whole, words
from factory.reports import line_panels, panels
from factory.reports.facts import LineFacts, SiteLine, rung_of
from factory.reports.rendering import page
from factory.reports.sentences import of_line


@dataclass(frozen=True, kw_only=True)
class SiteRow:
    """One site in the table, every cell as it is written."""

    name: str
    page: str | None
    raw: str
    quarantine: str
    judged: str
    model: str
    headline: str
    base: str
    baseline: str
    wins: bool
    value: str
    verdict: str
    serves: str
    served_headline: str
    served_value: str


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One number of the whole line."""

    name: str
    value: str
    note: str = ""


def line_page(facts: LineFacts, made_from: str) -> str:
    """Return the page."""
    headline = facts.line.task.headline
    pictures = panels.present(
        line_panels.headline(facts),
        line_panels.money(facts),
        line_panels.importance(facts),
        line_panels.quarantine(facts),
        panels.training("The base model, on all sites", facts.base_epochs, facts.base_why),
    )
    return page(
        "line.html",
        made_from,
        facts=facts,
        headline=headline,
        summary=of_line(facts),
        tiles=_tiles(facts),
        rows=[_row(site, facts) for site in facts.sites],
        pictures=pictures,
        refused=[site for site in facts.sites if site.verdict and site.verdict.reasons],
        recipe=", ".join(f"{name} {value}" for name, value in asdict(facts.line.recipe).items()),
    )


def _tiles(facts: LineFacts) -> list[Tile]:
    serving = [site for site in facts.sites if site.serving]
    worth = [_served(site, "value_eur") for site in serving]
    raw, waiting = (sum(site.rows.get(name, 0) for site in facts.sites) for name in ("raw", "quarantine"))
    wins = [site for site in facts.sites if _wins(site, facts)]
    return [
        Tile(name="Sites that serve", value=f"{len(serving)} of {len(facts.sites)}"),
        Tile(
            name="Value on the holdout, EUR", value=whole(sum(eur or 0.0 for eur in worth)), note="where a model serves"
        ),
        Tile(
            name="Better than the baseline",
            value=f"{len(wins)} of {len(facts.sites)}",
            note=words(facts.line.task.headline),
        ),
        Tile(name="Rows in", value=whole(raw), note=f"{whole(waiting)} in quarantine"),
    ]


def _row(site: SiteLine, facts: LineFacts) -> SiteRow:
    headline = facts.line.task.headline
    return SiteRow(
        name=site.site,
        page=site.page,
        raw=whole(site.rows.get("raw")),
        quarantine=whole(site.rows.get("quarantine")),
        judged=whole(_figure(site, "rows")),
        model=UNKNOWN if site.verdict is None else rung_of(site.verdict.figures),
        headline=figure(_figure(site, headline)),
        base=figure(_figure(site, f"base_{headline}")),
        baseline=figure(_figure(site, f"baseline_{headline}")),
        wins=_wins(site, facts),
        value=whole(_figure(site, "value_eur")),
        verdict="" if site.verdict is None else "passed" if site.verdict.passed else "refused",
        serves=f"version {site.serving.version}" if site.serving else "nothing",
        served_headline=figure(_served(site, headline)) if site.serving else "",
        served_value=whole(_served(site, "value_eur")) if site.serving else "",
    )


def _served(site: SiteLine, name: str) -> float | None:
    """Return a figure of what the site serves, by the verdict that released it."""
    value = site.serving.figures.get(name) if site.serving else None
    return float(value) if isinstance(value, int | float) else None


def _wins(site: SiteLine, facts: LineFacts) -> bool:
    ours, theirs = (_figure(site, f"{who}{facts.line.task.headline}") for who in ("", "baseline_"))
    if ours is None or theirs is None:
        return False
    return ours > theirs if facts.line.task.greater_is_better else ours < theirs


def _figure(site: SiteLine, name: str) -> float | None:
    value = site.verdict.figures.get(name) if site.verdict else None
    return float(value) if isinstance(value, int | float) else None
