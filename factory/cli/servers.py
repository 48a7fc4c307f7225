"""`factory ui`, `registry`, `serve`: servers in the foreground, ended whole by the signal that ends the command.

A port that is taken is told before anything is started.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from factory.cli.options import HomeFolder, home_at
from factory.model.provider import Provider
from factory.storage.project import found_root

LOOPBACK = "127.0.0.1"
Port = Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")]


def ui(port: Port = 3000, home: HomeFolder = None) -> None:
    """Open the orchestrator's UI on the whole graph, with the sites as partitions."""
    place = home_at(home)
    _require_free(LOOPBACK, port)
    from factory.orchestration.project import Project

    raise typer.Exit(Project.around(place).ui(port))


def registry(port: Port = 5000, home: HomeFolder = None) -> None:
    """Open the registry's UI: models, versions, figures, verdicts."""
    place = home_at(home)
    _require_free(LOOPBACK, port)
    from factory.orchestration.project import Project

    raise typer.Exit(Project.around(place).registry(port))


def serve(  # noqa: PLR0913, PLR0917  a command has as many arguments as options
    host: Annotated[str, typer.Option(help="Address to listen on.")] = LOOPBACK,
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
    _require_free(host, port, grpc_port)
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


def _require_free(host: str, *ports: int | None) -> None:
    """Raise CannotListen where another program has a port, before a server is started that would say it at length."""
    from factory.gateway.processes.ports import held_port

    for port in ports:
        if port:
            with held_port(host, port):
                pass
