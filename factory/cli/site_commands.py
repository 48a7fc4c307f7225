"""Commands of people about one site: `factory history`, `rollback`, `allow`, `approve`.

They need the factory's home alone, neither the orchestrator nor the registry, and work while both are down.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from factory.cli.names import chosen
from factory.cli.options import AsJson, By, HomeFolder, Line, Reason, SiteName, home_at, outboxes_of, sites_to_complete
from factory.cli.screen import print_json, say
from factory.names import model_parts
from factory.storage.home import Home

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    from factory.release.protocols import ReleaseRepository, SiteHistories


VERIFY = "verify"
NOTHING_TO_ALLOW = "no rollback holds it and its history is as it was written, so there is nothing to allow"


@dataclass(frozen=True, kw_only=True)
class Releases:
    """What sites serve and what was done at them, with the key that signs it, at one home."""

    home: Home

    @property
    def repository(self) -> "ReleaseRepository":
        """What the sites serve."""
        from factory.release import ModelRepository

        return ModelRepository.at(self.home)

    @property
    def history(self) -> "SiteHistories":
        """The histories of the sites."""
        return self.repository.site_history

    def key(self) -> "Ed25519PrivateKey":
        """Return the release key, made on first use."""
        from factory.release.signing import signing_key

        return signing_key(self.home.keys)

    def public_key(self) -> "Ed25519PublicKey":
        """Return the release key's public half. Raises ModelRefused without one."""
        from factory.release.signing import public_key

        return public_key(self.home.public_key)

    def served(self, model: str) -> int | None:
        """Return the number of the release that a site serves; None for none that can be read."""
        from factory.errors import FactoryError

        try:
            current = self.repository.current(model)
        except FactoryError:
            return None
        return current.sequence if current else None

    def models(self) -> list[str]:
        """Return the models that have a release or a history, sorted."""
        return sorted({*self.repository.models(), *self.history.models()})

    def judged(self) -> list[str]:
        """Return the models whose candidates were judged, by the lake."""
        from factory.names import model_name
        from factory.reports.status import status

        lines = status(self.home)["lines"].items()
        return [model_name(line, site) for line, what in lines for site, s in what["sites"].items() if s["verdict"]]


def history(
    site: Annotated[
        str,
        typer.Argument(
            metavar="SITE",
            help=f"Name of a site; or `{VERIFY}`: has anybody changed the histories?",
            autocompletion=sites_to_complete,
        ),
    ],
    line: Line = "",
    heads: Annotated[Path | None, typer.Option(help=f"With {VERIFY}: what an earlier --json printed.")] = None,
    as_json: AsJson = False,
    home: HomeFolder = None,
) -> None:
    """Tell who promoted, refused, approved, released or rolled back what at a site, when and why."""
    from factory.cli.history import show_history, show_verified, site_history, verified

    releases = Releases(home=home_at(home))
    if site == VERIFY and not line:
        report = verified(releases.repository, releases.models(), releases.public_key(), _heads(heads))
        print_json(report) if as_json else show_verified(report)
        raise typer.Exit(1 if any(site["findings"] for site in report["sites"].values()) else 0)
    records = site_history(releases.repository, chosen(site, line, releases.models()), releases.public_key())
    print_json(records) if as_json else show_history(records)


def rollback(
    site: SiteName,
    by: By,
    reason: Reason,
    to: Annotated[int | None, typer.Option(help="Number of the release; the one before when left out.")] = None,
    line: Line = "",
    home: HomeFolder = None,
) -> None:
    """Return a site to an earlier release, and hold it there until somebody allows others."""
    from factory.release.rollback import roll_back

    releases = Releases(home=home_at(home))
    model = chosen(site, line, releases.models())
    before = releases.served(model)
    served = roll_back(releases.repository, model, to=to, by=by, reason=reason, key=releases.key())
    say(
        f"{model} serves release {served.sequence}, version {served.version}, again, and is held there. "
        f"The next release is let through with: factory allow {site} --by NAME --reason …"
    )
    if before is not None and before != served.sequence:
        _tell_withdrawable(releases.home, model, before)


def _tell_withdrawable(home: Home, model: str, release: int) -> None:
    """Say which messages of a release business systems have or may get, and how they are withdrawn."""
    from factory.connectors.outbox.store import DRY_RUN
    from factory.errors import FactoryError

    line, site = model_parts(model)
    try:
        store = outboxes_of(home)
        standing = store.of(line).withdrawable(site, release) if line in store.lines() else []
    except FactoryError as error:  # the rollback is done all the same
        say(f"Whether business systems got messages of release {release} could not be read: {error}")
        return
    for sink in sorted({one.sink for one in standing if not one.sink.endswith(DRY_RUN)}):
        counts = ", ".join(f"{one.count} {one.state}" for one in standing if one.sink == sink)
        say(
            f"Decisions of release {release} stay at {sink} ({counts}), and what waits is still sent. Withdraw them "
            f"with: factory deliveries withdraw {line} {site} --sink {sink} --release {release} --by NAME --reason …"
        )


def allow(site: SiteName, by: By, reason: Reason, line: Line = "", home: HomeFolder = None) -> None:
    """Let releases of a site go through again, after a rollback or after its history was changed."""
    from factory.errors import ReleaseRefused
    from factory.release.history import Event

    releases = Releases(home=home_at(home))
    model = chosen(site, line, releases.models())
    permissions = releases.repository.permissions(model, releases.public_key())
    if not (permissions.hold or permissions.broken or permissions.wait):
        raise ReleaseRefused(f"{model}: {permissions.removal() or NOTHING_TO_ALLOW}")
    releases.history.append(model, Event(kind="allowance", actor=by, reason=reason), releases.key())
    if wait := permissions.wait:
        say(f"{model}: it still waits for its turn in the rollout by {wait.actor} ({wait.reason}).")
    else:
        say(f"{model}: its next release is let through; a file that was rolled back from is not.")


def approve(
    site: SiteName,
    version: Annotated[int, typer.Argument(metavar="VERSION", help="Version of the candidate, as its page has it.")],
    by: By,
    reason: Reason,
    line: Line = "",
    home: HomeFolder = None,
) -> None:
    """Consent to a candidate that passed its gates, where its line requires a person's approval."""
    from factory.release.approval import approve as put_on_record
    from factory.storage.lake_store import LakeStore

    releases = Releases(home=home_at(home))
    model = chosen(site, line, releases.judged())
    of_line, _ = model_parts(model)
    journal = LakeStore.at(releases.home).journal(of_line)
    put_on_record(releases.history, journal, model, version, by=by, reason=reason, key=releases.key())
    say(f"{model} version {version} is approved. Release it with: factory run {of_line} --sites {site}")


def _heads(file: Path | None) -> dict[str, tuple[int, str]]:
    """Return the heads that an earlier `verify --json` printed: model → count and hash."""
    if file is None:
        return {}
    try:
        sites = json.loads(file.read_text(encoding="utf-8"))["sites"]
        heads = {model: site["head"] for model, site in sites.items()}
        return {model: (int(head["count"]), str(head["hash"])) for model, head in heads.items() if head}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise typer.BadParameter(
            f"{file} holds no heads ({error}); write it with: factory history verify --json"
        ) from error
