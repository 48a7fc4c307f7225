"""`factory trial show | start | end | promote`: what people do with a release that runs beside a site's champion.

As the other commands about a site they need the factory's home alone.
"""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from factory.cli.names import chosen
from factory.cli.options import AsJson, By, HomeFolder, Line, Reason, SiteName, home_at
from factory.cli.screen import print_json, say
from factory.cli.site_commands import Releases

if TYPE_CHECKING:
    from factory.monitoring.trials.decisions import Shown
    from factory.release import Terms

app = typer.Typer(
    name="trial", no_args_is_help=True, help="A challenger beside a site's champion: copies or a share of requests."
)
Share = Annotated[float | None, typer.Option(help="Of requests; a tenth for a canary, all for a shadow when left out.")]
Mode = Literal["canary", "shadow"]
SHARES: dict[Mode, float] = {"canary": 0.1, "shadow": 1.0}


@app.command()
def show(site: SiteName, line: Line = "", as_json: AsJson = False, home: HomeFolder = None) -> None:
    """Compare a site's trial with its champion, by the gateway's records since it began."""
    from factory.cli.trial_screen import show_trial

    releases = Releases(home=home_at(home))
    model = chosen(site, line, releases.models())
    shown = _shown(releases, model)
    if as_json:
        print_json({"model": model, **(shown.to_dict() if shown else {"trial": None})})
    else:
        show_trial(model, shown)


@app.command()
def start(
    site: SiteName,
    release: Annotated[int, typer.Option(help="Number of the release; `factory history` lists them.")],
    mode: Annotated[Mode, typer.Option("--as", help="A canary answers its share; a shadow answers nobody.")],
    by: By,
    reason: Reason,
    share: Share = None,
    line: Line = "",
    home: HomeFolder = None,
) -> None:
    """Put a release that lies there on trial; what the site serves stays as it is."""
    from factory.monitoring.trials.decisions import begin

    releases = Releases(home=home_at(home))
    model = chosen(site, line, releases.models())
    terms = _terms(mode, SHARES[mode] if share is None else share, by, reason)
    trial = begin(releases.repository, model, release, terms, key=releases.key())
    say(f"{model}: {trial.description}. See how it does with: factory trial show {site}")


@app.command()
def end(site: SiteName, by: By, reason: Reason, line: Line = "", home: HomeFolder = None) -> None:
    """End a site's trial; that file comes back only by `factory trial start`."""
    releases = Releases(home=home_at(home))
    model = chosen(site, line, releases.models())
    trial = releases.repository.end_trial(model, by=by, reason=reason, key=releases.key())
    what = f"release {trial.release}, version {trial.version}" if trial else "a trial that could not be read"
    say(f"{model}: the trial of {what} is over; its champion has all requests")


@app.command()
def promote(
    site: SiteName,
    by: By,
    reason: Reason,
    anyway: Annotated[bool, typer.Option("--anyway", help="Whatever speaks against it; goes on record.")] = False,
    line: Line = "",
    home: HomeFolder = None,
) -> None:
    """Make the release on trial the one the site serves; refused where it had too few requests, or failed."""
    from factory.errors import ReleaseRefused
    from factory.monitoring.trials import decisions

    releases = Releases(home=home_at(home))
    model = chosen(site, line, releases.models())
    shown = _shown(releases, model)
    if shown is None:
        raise ReleaseRefused(f"{model} has no trial that could be promoted")
    served = decisions.promote(releases.repository, shown, by=by, reason=reason, key=releases.key(), anyway=anyway)
    say(f"{model} serves version {served.version} now, as release {served.sequence}; its trial is over")


def _shown(releases: Releases, model: str) -> "Shown | None":
    from factory.monitoring.trials.decisions import shown

    return shown(releases.repository, model, releases.home.prediction_log, releases.public_key())


def _terms(mode: Mode, share: float, by: str, reason: str) -> "Terms":
    from factory.release import Terms

    try:
        return Terms(mode=mode, share=share, by=by, reason=reason)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--share") from error
