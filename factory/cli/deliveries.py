"""`factory deliveries`: what waits for the business's systems and why, what would be sent, and what people do about it.

Needs the home's outbox and the line's file, neither orchestrator nor registry nor lake. What a person does goes on the
site's record; receipts come into the lake with the line's next run.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from factory.cli.names import described_line
from factory.cli.options import (
    AsJson,
    By,
    HomeFolder,
    LineName,
    Reason,
    SiteName,
    home_at,
    outboxes_of,
    sites_to_complete,
)
from factory.cli.screen import Column, print_json, say, show_table
from factory.cli.site_commands import Releases
from factory.errors import FactoryError, LineError
from factory.names import model_name

if TYPE_CHECKING:
    from factory.connectors.outbox.outbox import Outbox, Standing
    from factory.connectors.outbox.store import OutboxStore
    from factory.line.line import Line
    from factory.storage.home import Home

app = typer.Typer(
    name="deliveries",
    no_args_is_help=True,
    help="Decisions on their way into the business's systems, and what they say.",
)
Site = Annotated[
    str, typer.Argument(metavar="[SITE]", help="Name of a site; all when left out.", autocompletion=sites_to_complete)
]
Sink = Annotated[str, typer.Option("--sink", help="Name of a sink, as in the line's file; all when left out.")]
ONE_SINK = Annotated[str, typer.Option("--sink", help="Name of the sink, as in the line's file.")]
SHOWN = 20
WAITING = ("held", "waiting", "sending", "unknown")


@app.command()
def status(line: LineName, site: Site = "", sink: Sink = "", as_json: AsJson = False, home: HomeFolder = None) -> None:
    """Show how many messages are in which state, since when, and what the systems said of those that are not there."""
    declared, store = described_line(line), outboxes_of(home_at(home))
    outbox, names = store.of(line), _outbox_names(store, declared, sink)
    standing = [one for one in outbox.standing() if one.sink in names and site in ("", one.site)]
    open_ones = [
        kept
        for name in names
        for kept in outbox.find(
            sink=name, site=site or None, states=["held", "refused", "unknown", "waiting"], limit=SHOWN
        )
    ]
    if as_json:
        print_json({"standing": [vars(one) for one in standing], "open": [kept.row for kept in open_ones]})
        return
    if not standing:
        say(f"No message of {line} was put into the outbox yet; the line's next run does that: factory operate {line}")
        return
    columns = [Column(heading=name) for name in ("sink", "site", "state", "messages", "oldest")]
    show_table(columns, [[one.sink, one.site, one.state, f"{one.count:,}", _age(one)] for one in standing])
    told = [kept for kept in open_ones if kept.reply]
    if told:
        heads = [Column(heading=name) for name in ("sink", "site", "decision", "state", "tries", "what it said")]
        show_table(
            heads,
            [
                [
                    *(kept.message.sink, kept.message.site, _about(kept.message.identity), kept.state),
                    *(str(kept.message.attempts), kept.reply[:200]),
                ]
                for kept in told[:SHOWN]
            ],
        )


@app.command()
def plan(line: LineName, site: Site = "", sink: Sink = "", as_json: AsJson = False, home: HomeFolder = None) -> None:
    """Say what would be sent and changed, and whether the mapping fits the system's own metadata. Sends nothing."""
    declared, store = described_line(line), outboxes_of(home_at(home))
    plans = [_planned(store, declared, name, site) for name in _sinks(declared, sink)]
    if as_json:
        print_json(plans)
    else:
        for one in plans:
            _show_plan(one)
    if any(one["misfits"] for one in plans):
        raise typer.Exit(1)


@app.command()
def deliver(
    line: LineName,
    site: Site = "",
    sink: Sink = "",
    within_s: Annotated[float, typer.Option("--within", help="Seconds to wait for a busy system.")] = 60.0,
    home: HomeFolder = None,
) -> None:
    """Send now what is due, as the line's next run would."""
    declared, store = described_line(line), outboxes_of(home_at(home))
    outbox, left = store.of(line), 0
    for name in _sinks(declared, sink):
        sites = [one for one in _sites(outbox, store.name_of(declared, name)) if site in ("", one)]
        with closing(store.sink(declared, name, _project())) as system:
            if misfits := system.check():
                raise LineError(f"line {line}: sinks: {name}: its mapping does not fit: {'; '.join(misfits)}")
            counts: Counter[str] = sum(
                store.delivery(outbox, system, declared, name).run(sites, within_s).values(), Counter()
            )
        said = ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "nothing was due"
        say(f"{name}: {said}")
        left += counts["refused"]
    if left:
        raise typer.Exit(1)


@app.command()
def replay(line: LineName, by: By, reason: Reason, site: Site = "", sink: Sink = "", home: HomeFolder = None) -> None:
    """Let refused messages wait again: after the system, or the mapping in the line's file, was mended."""
    declared, at = described_line(line), home_at(home)
    store = outboxes_of(at)
    outbox = store.of(line)
    for name in _outbox_names(store, declared, sink):
        while refused := outbox.find(sink=name, site=site or None, states=["refused"]):
            outbox.replay([kept.message.id for kept in refused])
            for one, count in Counter(kept.message.site for kept in refused).items():
                _on_record(at, line, one, by, f"{name}: {count} refused messages wait again: {reason}")
                say(f"{name}: {count} messages of {one} wait again")


@app.command("let-go")
def let_go(line: LineName, site: SiteName, by: By, reason: Reason, sink: ONE_SINK, home: HomeFolder = None) -> None:
    """Let messages go that the guard holds, for they are right."""
    declared, at = described_line(line), home_at(home)
    store = outboxes_of(at)
    (name,) = _outbox_names(store, declared, sink)
    count = store.of(line).let_go(name, site)
    if count:
        _on_record(at, line, site, by, f"{name}: {count} held messages were let go: {reason}")
    say(f"{name}: {count} messages of {site} were let go; send them now with: factory deliveries deliver {line} {site}")


@app.command()
def withdraw(
    line: LineName,
    site: SiteName,
    by: By,
    reason: Reason,
    sink: ONE_SINK,
    release: Annotated[int, typer.Option("--release", help="Number of the release whose decisions are taken back.")],
    home: HomeFolder = None,
) -> None:
    """Take a release's decisions back: cancel those that were not sent, and mark the others in the system."""
    declared, at = described_line(line), home_at(home)
    store = outboxes_of(at)
    (name,) = _outbox_names(store, declared, sink)
    cancelled, put = store.of(line).withdraw(name, site, release)
    if cancelled or put:
        _on_record(at, line, site, by, f"{name}: {put} decisions withdrawn, {cancelled} not sent: {reason}", release)
    say(f"{name}: of release {release} of {site} {cancelled} messages were cancelled, and {put} withdrawals wait")


@app.command()
def metrics(home: HomeFolder = None) -> None:
    """Print the figures of all outboxes in Prometheus' text format, for its textfile collector."""
    store = outboxes_of(home_at(home))
    say("\n".join(_exposed({line: store.of(line).standing() for line in store.lines()})))


def _exposed(standing: dict[str, list["Standing"]]) -> Iterator[str]:
    """Yield the lines of the text format: messages by state, and the age of the oldest that is not there yet."""
    yield "# HELP factory_outbox_messages Messages to business systems, by state."
    yield "# TYPE factory_outbox_messages gauge"
    for line, some in standing.items():
        for one in some:
            labels = f'line="{line}",site="{one.site}",sink="{one.sink}",state="{one.state}"'
            yield f"factory_outbox_messages{{{labels}}} {one.count}"
    yield "# HELP factory_outbox_oldest_seconds Age of the oldest message that is not there yet."
    yield "# TYPE factory_outbox_oldest_seconds gauge"
    for line, some in standing.items():
        oldest: dict[tuple[str, str], float] = {}
        for one in some:
            if one.state in WAITING:
                oldest[one.site, one.sink] = min(one.oldest, oldest.get((one.site, one.sink), one.oldest))
        for (site, sink), since in oldest.items():
            labels = f'line="{line}",site="{site}",sink="{sink}"'
            yield f"factory_outbox_oldest_seconds{{{labels}}} {max(time.time() - since, 0):.0f}"


def _planned(store: "OutboxStore", line: "Line", name: str, site: str) -> dict[str, Any]:
    """Return what would be done with a sink's messages, and how its mapping does not fit."""
    section = line.sinks[name]
    kept = store.of(line.name).find(
        sink=store.name_of(line, name), site=site or None, states=["held", "waiting", "unknown"], limit=10_000
    )
    with closing(store.sink(line, name, _project())) as system:
        misfits = system.check()
        try:
            there = set(system.present([one.message for one in kept])) if kept and not misfits else set[str]()
            asked = ""
        except FactoryError as error:
            there, asked = set(), str(error)
    counts = Counter(f"{one.message.action} {'there already' if one.message.id in there else 'new'}" for one in kept)
    first = [
        section.fields_of(one.message.record, one.message.key) for one in kept[:3] if one.message.action == "upsert"
    ]
    held = sum(one.state == "held" for one in kept)
    return {
        "sink": name,
        "to": section.to,
        "dry_run": section.dry_run,
        "misfits": misfits,
        "messages": dict(counts),
        "held": held,
        "not_asked": asked,
        "first": first,
    }


def _show_plan(plan: dict[str, Any]) -> None:
    say(f"{plan['sink']} ({plan['to']}){': a dry run, files alone' if plan['dry_run'] else ''}")
    for misfit in plan["misfits"]:
        say(f"  does not fit: {misfit}")
    for what, count in plan["messages"].items():
        say(f"  {count:,} {what}")
    if not plan["messages"]:
        say("  nothing waits")
    if plan["held"]:
        say(f"  of these {plan['held']:,} are held by the guard and would not be sent")
    if plan["not_asked"]:
        say(f"  what is there already cannot be told: {plan['not_asked']}")
    for fields in plan["first"]:
        say(f"  such as {', '.join(f'{name} = {value}' for name, value in fields.items())}")


def _project() -> Path:
    from factory.storage.project import found_root

    return found_root() or Path.cwd()


def _sinks(line: "Line", sink: str) -> list[str]:
    """Return the line's sinks, or the one that is named; raises LineError where it has no such sink."""
    if sink and sink not in line.sinks:
        raise LineError(f"line {line.name} has no sink {sink!r}; it has {', '.join(line.sinks) or 'none'}")
    if not line.sinks:
        raise LineError(f"line {line.name} has no sinks; name one under `sinks` in its file")
    return [sink] if sink else list(line.sinks)


def _outbox_names(store: "OutboxStore", line: "Line", sink: str) -> list[str]:
    return [store.name_of(line, name) for name in _sinks(line, sink)]


def _sites(outbox: "Outbox", sink: str) -> list[str]:
    """Return the sites that have messages for a sink."""
    return sorted({one.site for one in outbox.standing() if one.sink == sink})


def _on_record(home: "Home", line: str, site: str, by: str, reason: str, release: int | None = None) -> None:
    from factory.release.history import Event

    releases = Releases(home=home)
    event = Event(kind="delivery", actor=by, reason=reason, release=release)
    releases.history.append(model_name(line, site), event, releases.key())


def _age(one: "Standing") -> str:
    if one.state not in WAITING:
        return ""
    minutes = max(time.time() - one.oldest, 0.0) / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.0f} h"


def _about(identity: Any) -> str:
    """Return which decision a message is about, but for what all have in common."""
    common: Sequence[str] = ("line", "site", "release", "version", "digest")
    return ", ".join(f"{name} {value}" for name, value in identity.items() if name not in common)
