"""The command line, put together: which commands there are, in which order, and what each is for.

Commands that run stages submit runs to the orchestrator's instance (factory/cli/lines.py); the others load neither
orchestrator nor registry, and answer at once.
"""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from factory.cli import (
    check,
    deliveries,
    forget,
    keys,
    new,
    quarantine,
    records,
    rollout,
    runs,
    servers,
    site_commands,
    sites,
    status,
    trials,
)
from factory.cli.backtest import backtest
from factory.cli.screen import hints, say
from factory.errors import FactoryError

PANELS: dict[str, Sequence[typer.Typer | Callable[..., Any]]] = {
    "Make a line and run it": (
        runs.demo,
        new.app,
        check.check,
        check.schema,
        runs.fetch,
        runs.run,
        runs.operate,
        sites.app,
    ),
    "See what it came to": (
        status.status,
        quarantine.quarantine,
        deliveries.app,
        forget.forget,
        servers.ui,
        servers.registry,
        status.doctor,
    ),
    "Serve": (servers.serve, keys.app, status.why, records.app),
    "Decide about a site": (
        site_commands.history,
        site_commands.approve,
        site_commands.rollback,
        site_commands.allow,
        rollout.app,
        trials.app,
    ),
    "Look back": (backtest,),
}
"""Every command and group of commands, in the order of their use."""


class InOrder(TyperGroup):
    """Lists its commands in the order of PANELS, groups of commands among them."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # what it gets
        """Return the commands' names."""
        order = {
            name: number for number, name in enumerate(map(_name, (one for some in PANELS.values() for one in some)))
        }
        return sorted(super().list_commands(ctx), key=lambda name: order.get(name, len(order)))

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # what it gets
        """Run a command; what it raises for a person says its hints as the command itself would."""
        try:
            return super().invoke(ctx)
        except FactoryError as error:
            error.args = (hints.completed(str(error)),)
            raise


app = typer.Typer(
    cls=InOrder,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"factory {version('ai-factory')}")
        raise typer.Exit


@app.callback()
def factory(
    shown_version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and end.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Of an error, show too what lies behind it, and where in the code.")
    ] = False,
) -> None:
    """A factory for models: raw enterprise data in, a gated model at every site out, and what it earned.

    Exit codes of every command: 0 done, 1 something failed, 2 asked for what cannot be, 130 and 143 stopped.
    """


def _name(command: typer.Typer | Callable[..., Any]) -> str:
    """Return what a person types: the name of a group's module, or of a command's function."""
    return str(command.info.name) if isinstance(command, typer.Typer) else command.__name__


def _put_in(panel: str, command: typer.Typer | Callable[..., Any]) -> None:
    if isinstance(command, typer.Typer):
        app.add_typer(command, rich_help_panel=panel)
    else:
        app.command(rich_help_panel=panel)(command)


for _panel, _commands in PANELS.items():
    for _command in _commands:
        _put_in(_panel, _command)
