"""`factory site list | add | remove`: which sites a line has."""

from typing import Annotated, Any

import typer

from factory.cli.options import AsJson, By, HomeFolder, LineName, New, Reason, SiteName, home_at
from factory.cli.screen import Column, print_json, say, show_table

app = typer.Typer(name="site", no_args_is_help=True, help="The sites of a line: list, add, remove.")
BY_COMMAND = "factory site add"


@app.command("list")
def list_sites(line: LineName, as_json: AsJson = False, home: HomeFolder = None) -> None:
    """List the sites that a line has, those that its source has beside them, and those that were removed."""
    from factory.cli.lines import sites_listed

    sites = sites_listed(home_at(home), line)
    if as_json:
        print_json({"line": line, "sites": sites})
    else:
        _show(line, sites)


@app.command("add")
def add_site(
    line: LineName,
    site: SiteName,
    new: New = False,
    by: Annotated[str, typer.Option("--by", help="Who adds it; on record where it was removed.")] = BY_COMMAND,
    reason: Annotated[str, typer.Option("--reason", help="Why; on record where it was removed.")] = "added again",
    home: HomeFolder = None,
) -> None:
    """Add a site to a line, or one again that was removed; no deploy is needed."""
    from factory.cli.lines import add_site as add
    from factory.names import checked_name

    came_back = add(home_at(home), line, checked_name(site), new=new, by=by, reason=reason)
    what = "one of its sites again" if came_back else "one of its sites"
    say(f"{line}: {site} is {what}. Run it with: factory run {line} --sites {site}")


@app.command("remove")
def remove_site(line: LineName, site: SiteName, by: By, reason: Reason, home: HomeFolder = None) -> None:
    """Take a site out of a line and out of service; its data and history stay, and it can be added again."""
    from factory.cli.lines import remove_site as remove
    from factory.names import checked_name

    served = remove(home_at(home), line, checked_name(site), by=by, reason=reason)
    what = f"version {served.version} of it is served no longer" if served else "it served nothing"
    say(f"{line}: {site} is removed, and {what}. Its data and history stay. To bring it back:")
    say(f"  factory site add {line} {site}")


STATES = {
    "in line": "one of the line's",
    "at source": "at the source; the next run takes it",
    "announced": "one of the line's; no rows at the source yet",
    "removed": "removed",
}


def _show(line: str, sites: list[dict[str, Any]]) -> None:
    if not sites:
        say(f"{line} has no sites yet, and its source has none.")
        return
    columns = [Column(heading=heading) for heading in ("site", "serves", "state")]
    rows = [
        [site["site"], f"v{site['serves']}" if site["serves"] else "nothing", STATES[site["state"]]] for site in sites
    ]
    show_table(columns, rows)
    for site in sites:
        if site["removed"]:
            say(f"  {site['site']}: {site['removed']}")
