"""Sentences for an operations manager: what a site serves and how good that is, or what keeps it from serving."""

from factory.charts.numbers import eur, figure, percent, whole, words
from factory.reports.facts import LineFacts, SiteFacts


def of_site(facts: SiteFacts) -> str:
    """Return in one or two sentences what the site serves and why."""
    serving, verdict = facts.serving, facts.verdict
    if verdict.passed and facts.serves_this and serving:
        return f"{facts.site} serves version {serving.version}: {_merit(facts)}.{_money(facts)}"
    if verdict.passed:
        now = f"serves version {serving.version} of {serving.since[:10]}" if serving else "serves nothing yet"
        held = f" It is not released: {facts.held_back}." if facts.held_back else ""
        return f"{facts.site} {now}. A newer candidate passed every gate: {_merit(facts)}.{held}"
    reasons = _first_reason(verdict.reasons)
    if serving and facts.serves_this:
        return f"{facts.site} serves version {serving.version}, which today's gates would refuse: {reasons}."
    if serving:
        return (
            f"{facts.site} goes on serving version {serving.version} of {serving.since[:10]}. "
            f"The new candidate was refused: {reasons}."
        )
    return f"{facts.site} serves nothing. Its candidate was refused: {reasons}."


def _first_reason(reasons: tuple[str, ...]) -> str:
    """Return the first reason, and how many more there are."""
    more = len(reasons) - 1
    return reasons[0] + (f", and {more} more reason{'s' if more > 1 else ''}" if more > 0 else "")


def _merit(facts: SiteFacts) -> str:
    headline, rows = facts.line.task.headline, _number(facts.figures.get("rows"))
    measured = f"{words(headline)} {figure(_number(facts.figures.get(headline)))} on the {whole(rows)} rows held out"
    return f"{facts.shown.gallery.says} ({measured})" if facts.shown.gallery else measured


def _money(facts: SiteFacts) -> str:
    """Return what its decisions were worth, and against the plain model's."""
    worth, plain = (_number(facts.figures.get(name)) for name in ("value_eur", "baseline_value_eur"))
    if worth is None:
        return ""
    sentence = f" Its decisions there are worth {eur(worth)}"
    if plain is None or round(plain) == round(worth):
        return f"{sentence}."
    return f"{sentence}, {eur(abs(worth - plain))} {'more' if worth > plain else 'less'} than the baseline's."


def without_model(facts: SiteFacts) -> str:
    """Return how the candidate stands to what needs no model; empty for figures from before that was measured."""
    figures = facts.figures
    if not figures.get("constant"):
        return ""
    acted, rate = _number(figures.get("share_acted")), _number(figures.get("prevalence"))
    shares = f" It acts on {percent(acted)} of the rows; the base rate is {percent(rate)}." if acted is not None else ""
    loss, constant, baseline = (_number(figures.get(name)) for name in ("loss", "constant_loss", "baseline_loss"))
    no_bar = figures.get("baseline_beats_constant") is False
    bar = f" The baseline is no bar: its loss is {figure(baseline)}." if no_bar else ""
    less = str(figures.get("asks_less") or "")
    return (
        f"Money is counted above the best decision without a model on these very rows: {figures['constant']}.{shares} "
        f"Its loss is {figure(loss)}, the best constant answer's {figure(constant)}.{bar}"
        f"{f' {less[:1].upper()}{less[1:]}.' if less else ''}"
    )


def witnesses(facts: SiteFacts) -> str:
    """Return of how many witnesses the rows judged are, in words; empty where every row is one."""
    what = str(facts.figures.get("witnesses_are") or "rows")
    return "" if what == "rows" else f"of {whole(_number(facts.figures.get('witnesses')))} {what}"


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def of_line(facts: LineFacts) -> str:
    """Return in a few sentences how many sites serve, what they are worth, and how many were refused."""
    sites = facts.sites
    serving = [site for site in sites if site.serving]
    refused = [site.site for site in sites if site.verdict and not site.verdict.passed]
    worth = sum(_number(site.serving.figures.get("value_eur")) or 0.0 for site in serving if site.serving)
    serve = f"{_count(len(serving), len(sites))} serve{'s' if len(serving) < 2 else ''} a model that passed its gates."
    money = f" Their decisions on the rows held out are worth {eur(worth)}." if serving else ""
    return f"{serve}{money}{_refused(refused)}"


def _count(some: int, of: int) -> str:
    if some == of and of:
        return f"All {of} sites" if of > 1 else "The one site"
    return f"{some} of {of} sites" if some else f"No site of {of}"


def _refused(sites: list[str]) -> str:
    if not sites:
        return ""
    named = ", ".join(sites[:4]) + (f" and {len(sites) - 4} more" if len(sites) > 4 else "")
    return f" Refused: {named}."
