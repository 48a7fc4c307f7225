"""The command line: `factory run`, `new line`, `status`, `serve`, `ui`, `fetch`, `demo`, `doctor`, a site's commands.

Commands that run stages submit runs to the orchestrator's instance (factory/cli/lines.py); the others load neither
orchestrator nor registry, and answer at once.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from factory.cli import site_commands
from factory.cli.backtest import backtest
from factory.cli.new import app as new_app
from factory.cli.options import HomeFolder, home_at
from factory.cli.records import app as records_app
from factory.cli.rollout import app as rollout_app
from factory.cli.trials import app as trial_app
from factory.model.provider import Provider
from factory.pipeline.stages import NAMES, OPERATING
from factory.storage.project import found_root

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="A factory for models.", pretty_exceptions_enable=False
)
site_app = typer.Typer(no_args_is_help=True, help="The sites of a line.")
app.add_typer(site_app, name="site")
app.add_typer(new_app, name="new")
app.command()(backtest)
app.add_typer(rollout_app, name="rollout")
app.add_typer(trial_app, name="trial")
app.add_typer(records_app, name="records")
key_app = typer.Typer(no_args_is_help=True, help="The gateway's API keys; a running gateway follows at once.")
app.add_typer(key_app, name="key")
for command in (site_commands.history, site_commands.rollback, site_commands.allow, site_commands.approve):
    app.command()(command)


@app.command()
def run(
    line: str,
    sites: Annotated[str, typer.Option(help="Comma-separated; all that the source knows when left out.")] = "",
    until: Annotated[str, typer.Option(help="As-of date YYYY-MM-DD, exclusive; the line's own when left out.")] = "",
    redo_from: Annotated[
        str,
        typer.Option(
            "--from", help=f"Redo from this stage, changed or not, and leave those before it: {', '.join(NAMES)}."
        ),
    ] = "",
    home: HomeFolder = None,
) -> None:
    """Run every stage of a line: data, base model, site models, verdicts, releases; what did not change is not redone.

    Exit code: 0 all through (a candidate that its gates refused is an answer, no failure), 1 a site failed and the
    others went through, 2 nothing could start, 130 stopped by Ctrl-C, 143 by SIGTERM. Run again to go on.
    """
    raise typer.Exit(_run(line, home, sites=sites, until=until, redo_from=redo_from))


@app.command()
def operate(
    line: str,
    sites: Annotated[str, typer.Option(help="Comma-separated; all that the source knows when left out.")] = "",
    until: Annotated[str, typer.Option(help="As-of date YYYY-MM-DD, exclusive; the line's own when left out.")] = "",
    home: HomeFolder = None,
) -> None:
    """Bring new rows in, let releases decide about them, join outcomes, judge drift; train and release nothing.

    Exit codes as of `factory run`.
    """
    from factory.cli.lines import run_shown
    from factory.pipeline.events import LineRequest

    request = LineRequest(line=line, sites=_listed(sites), until=until, stages=OPERATING)
    raise typer.Exit(run_shown(home_at(home), request, "operate")[0])


@app.command()
def demo(
    line: str,
    site: Annotated[
        str, typer.Option(help="The site that a first request is written for; the first when left out.")
    ] = "",
    home: HomeFolder = None,
) -> None:
    """Run a line on all its sites and say where to look next."""
    from factory.cli.screen import show_next_steps
    from factory.names import model_name
    from factory.release import ModelRepository
    from factory.release.example import write_example

    code = _run(line, home)
    if code == 0:
        place = home_at(home)
        served = ModelRepository.at(place).models()
        wanted = model_name(line, site) if site else next((name for name in served if name.startswith(f"{line}.")), "")
        show_next_steps(place, wanted if wanted and write_example(place, wanted) else None)
    raise typer.Exit(code)


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False, home: HomeFolder = None
) -> None:
    """Show what each site serves, and why."""
    from factory.cli.screen import show_status
    from factory.reports.status import status as current

    statuses = current(home_at(home))
    if as_json:
        typer.echo(json.dumps(statuses, indent=2, default=str))
    else:
        show_status(statuses)


@app.command()
def serve(  # noqa: PLR0913, PLR0917  a command has as many arguments as options
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for a free one.")] = 8080,
    grpc_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port for gRPC, 0 for a free one; none when left out.")
    ] = None,
    tls: Annotated[tuple[Path, Path] | None, typer.Option(help="Certificate and private key, PEM.")] = None,
    cors_origin: Annotated[
        list[str] | None, typer.Option(help="Origin whose pages a browser lets ask, * for all; may be given again.")
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(help="Address or network of a proxy whose X-Forwarded-… are believed; may be given again."),
    ] = None,
    access_log: Annotated[bool, typer.Option("--access-log", help="Log each request.")] = False,
    log_format: Annotated[
        Literal["text", "json"], typer.Option(help="Lines for people, or JSON for programs.")
    ] = "text",
    cpu_hour_eur: Annotated[
        float, typer.Option(min=0.0, help="Price of a processor's hour, for metrics of what predictions cost.")
    ] = 0.0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that answer on the port, as one gateway.")] = 1,
    provider: Annotated[Provider, typer.Option(help="What the models run on.")] = "cpu",
    home: HomeFolder = None,
) -> None:
    """Serve every released site model: business rows, and the Open Inference Protocol v2 over HTTP and gRPC."""
    from factory.gateway.http.tls import Tls
    from factory.gateway.settings import Settings

    place = home_at(home)
    settings = Settings(
        host=host,
        port=port,
        grpc_port=grpc_port,
        tls=Tls(certificate=tls[0], key=tls[1]) if tls else None,
        cors_origins=tuple(cors_origin or ()),
        trusted_proxies=tuple(trusted_proxy or ()),
        access_log=access_log,
        log_format=log_format,
        keys=place.api_keys,
        records=place.prediction_log,
        cpu_hour_eur=cpu_hour_eur,
        provider=provider,
        project=found_root(),
    )
    models, public_key = place.models, place.public_key
    if workers > 1:
        from factory.gateway.processes.supervisor import Supervisor

        raise typer.Exit(Supervisor(models, public_key, settings, workers).run())
    from factory.cli.serving import serve as serve_models

    serve_models(models, public_key, settings)


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="Port of the orchestrator's UI.")] = 3000, home: HomeFolder = None
) -> None:
    """Open the orchestrator's UI on the whole graph, with the sites as partitions."""
    from factory.orchestration.project import Project

    raise typer.Exit(Project.around(home_at(home)).ui(port))


@app.command()
def registry(
    port: Annotated[int, typer.Option(help="Port of the registry's UI.")] = 5000, home: HomeFolder = None
) -> None:
    """Open the registry's UI: models, versions, figures, verdicts."""
    from factory.orchestration.project import Project

    raise typer.Exit(Project.around(home_at(home)).registry(port))


@site_app.command("add")
def add_site(line: str, site: str, home: HomeFolder = None) -> None:
    """Add a site to a line; no deploy is needed."""
    from factory.cli.lines import add_site as add
    from factory.names import checked_name

    add(home_at(home), line, checked_name(site))


@app.command()
def why(prediction: str, home: HomeFolder = None) -> None:
    """Show a prediction as recorded, and what the release that gave it answers now; exit code 1 if they differ.

    It is looked for in the gateway's records, and in the lake, where `factory operate` takes them.
    """
    from factory.cli.records import taken_in
    from factory.gateway.models.explanation import why as answer
    from factory.release import ModelRepository
    from factory.release.signing import public_key
    from factory.storage.lake_store import LakeStore

    place = home_at(home)
    key, repository = public_key(place.public_key), ModelRepository.at(place)
    taken = taken_in(LakeStore.at(place), repository)
    explained = answer(place.prediction_log, repository, key, prediction, taken)
    typer.echo(json.dumps(explained, indent=2))
    raise typer.Exit(0 if explained["rebuilt"] else 1)


@key_app.command("add")
def add_key(
    name: str,
    lines: Annotated[str, typer.Option(help="Comma-separated; all when left out.")] = "",
    sites: Annotated[str, typer.Option(help="Comma-separated; all when left out.")] = "",
    rows_per_s: Annotated[float, typer.Option(help="Rows a second; 0 for no limit.")] = 0.0,
    manage: Annotated[bool, typer.Option("--manage", help="May load and unload models.")] = False,
    home: HomeFolder = None,
) -> None:
    """Make a key, or a new one in the place of an old one, and print it: the key itself is not stored."""
    from factory.gateway.access import key_file

    opens = {what: _names(names) for what, names in (("lines", lines), ("sites", sites))}
    typer.echo(key_file.add_key(home_at(home).api_keys, name, **opens, rows_per_s=rows_per_s, manage=manage))


@key_app.command("remove")
def remove_key(name: str, home: HomeFolder = None) -> None:
    """Remove a key, so that it opens nothing any more."""
    from factory.gateway.access import key_file

    key_file.remove_key(home_at(home).api_keys, name)


@key_app.command("list")
def list_keys(home: HomeFolder = None) -> None:
    """List the keys' names and what each opens."""
    from factory.gateway.access import key_file

    place = home_at(home).api_keys
    for key in key_file.read_keys(place) if place.exists() else ():
        lines, sites = (["all"] if names is None else names for names in (key.lines, key.sites))
        opens = f"lines {','.join(lines) or 'none'}: sites {','.join(sites) or 'none'}"
        typer.echo(f"{key.name}\t{opens}\t{key.rows_per_s:g} rows/s\t{'manages' if key.manage else ''}")


@app.command()
def fetch(line: str, home: HomeFolder = None) -> None:
    """Download a line's data from its public address into its data folder, each file verified by its SHA-256."""
    from factory.cli.lines import fetch as bring

    bring(home_at(home), line, typer.echo)


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False, home: HomeFolder = None
) -> None:
    """Show what this machine has and lacks; exit code 1 if something needed is lacking."""
    from factory.cli.doctor import findings, lacks
    from factory.cli.screen import show_findings

    checked = findings(home_at(home))
    if as_json:
        report = {"fine": not lacks(checked), "findings": [asdict(finding) for finding in checked]}
        typer.echo(json.dumps(report, indent=2))
    else:
        show_findings(checked)
    raise typer.Exit(int(lacks(checked)))


def _names(text: str) -> list[str] | None:
    """Return the names in a comma-separated list; None where all are meant."""
    return [name.strip() for name in text.split(",")] if text else None


def _listed(names: str) -> tuple[str, ...]:
    return tuple(name for name in names.split(",") if name)


def _run(line: str, home: Path | None, *, sites: str = "", until: str = "", redo_from: str = "") -> int:
    from factory.cli.lines import run_shown
    from factory.cli.screen import show_status
    from factory.pipeline.events import LineRequest
    from factory.reports.status import status as current

    request = LineRequest(line=line, sites=_listed(sites), until=until, redo_from=redo_from)
    code, outcome = run_shown(home_at(home), request, "run")
    if outcome is not None and outcome.sites:
        show_status(current(home_at(home)), line)
    return code
