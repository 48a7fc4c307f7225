"""`factory key add | list | remove`: who may ask the gateway what."""

from pathlib import Path
from typing import Annotated

import typer

from factory.cli.names import known_lines, known_sites
from factory.cli.options import HomeFolder, home_at, listed
from factory.cli.screen import say, say_error
from factory.errors import NameRefused
from factory.names import checked_name, few, meant
from factory.storage.home import Home

app = typer.Typer(name="key", no_args_is_help=True, help="The gateway's API keys; a running gateway follows at once.")
KeyName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the key, as its owner is called.")]


@app.command("add")
def add_key(
    name: KeyName,
    lines: Annotated[str, typer.Option(help="Comma-separated; all when left out.")] = "",
    sites: Annotated[str, typer.Option(help="Comma-separated; all when left out.")] = "",
    rows_per_s: Annotated[float, typer.Option(help="Rows a second; 0 for no limit.")] = 0.0,
    manage: Annotated[bool, typer.Option("--manage", help="May load and unload models.")] = False,
    new: Annotated[bool, typer.Option("--new", help="Also take lines and sites that are not here yet.")] = False,
    home: HomeFolder = None,
) -> None:
    """Make a key, or a new one in the place of an old one, and print it: the key itself is not stored."""
    from factory.gateway.access import key_file

    place = home_at(home)
    for what, names, known in (("line", listed(lines), known_lines), ("site", listed(sites), known_sites)):
        for one in names:
            _require(place, what, checked_name(one, what), known(place) if not new else [])
    opens = {what: list(listed(names)) if names else None for what, names in (("lines", lines), ("sites", sites))}
    say(key_file.add_key(place.api_keys, name, **opens, rows_per_s=rows_per_s, manage=manage))


@app.command("list")
def list_keys(home: HomeFolder = None) -> None:
    """List the keys' names and what each opens."""
    from factory.gateway.access import key_file

    place = home_at(home).api_keys
    for key in key_file.read_keys(place) if place.exists() else ():
        lines, sites = (["all"] if names is None else names for names in (key.lines, key.sites))
        opens = f"lines {','.join(lines) or 'none'}: sites {','.join(sites) or 'none'}"
        say(f"{key.name}\t{opens}\t{key.rows_per_s:g} rows/s\t{'manages' if key.manage else ''}")


@app.command("remove")
def remove_key(
    name: KeyName,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before the last key is removed.")] = False,
    home: HomeFolder = None,
) -> None:
    """Remove a key, so that it opens nothing any more; removing the last one locks everybody out, and is asked."""
    from factory.gateway.access import key_file

    place = home_at(home).api_keys
    if key_file.is_last(place, name):
        _ask(place, name, yes=yes)
    key_file.remove_key(place, name)


def _ask(place: Path, name: str, *, yes: bool) -> None:
    """Say what the removal of the last key does, and go on only if that is wanted."""
    say_error(
        f"{name!r} is the last key: without it the gateway answers nobody. To let everybody in instead, remove "
        f"{place} and start the gateway anew. A new key: factory key add NAME"
    )
    if not yes:
        typer.confirm("Remove it and lock everybody out?", abort=True, err=True)


def _require(home: Home, what: str, name: str, known: list[str]) -> None:
    """Raise NameRefused where the home has such names, and this one is none of them."""
    if known and name not in known:
        raise NameRefused(
            f"there is no {what} {name!r} at {home.root}; {meant(name, known)}there are {few(known)}. "
            f"For one that is still to come give --new"
        )
