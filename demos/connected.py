"""`make connected`: the line machine_failures between a company's systems, all of them on this machine.

    PostgreSQL          machines and maintenance orders         a real server
    Parquet files       telemetry and errors                    as a historian exports them
    ERP (OData V2)      breakdown orders; notifications         SAP's dialect, by a server that speaks its protocol

Rows come from the three, decisions go back into the ERP as maintenance notifications, each once, and what really
happened comes from its closed orders as the label. Everything is made (lines/machine_failures/simulator.py): nothing of
it was measured.

    python -m demos.connected [--home FOLDER] [--seed 7]
"""

import argparse
import base64
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from demos import postgres
from lines.machine_failures.simulator import World, simulated
from tests.connectors.https import Answer, Asked, certificates, serving
from tests.connectors.odata_v2_server import ROOT, Entities, Field, V2Service

REPOSITORY = Path(__file__).resolve().parents[1]
LINE = "machine_failures"
PLANTS = {"Aachen": 60, "Graz": 20, "Linz": 4}
"""Three plants of the sixteen, so that it takes minutes on two cores."""
TRAINED, DECIDED, KNOWN = "2025-12-01", "2025-12-08", "2025-12-22"
"""The days as of which the line runs: it learns; it decides about a week; that week's outcomes are known."""
ASKED = "    min_contract_share: 0.98\n"
"""Behind this limit the demonstration asks for less certainty, for it has fewer machines than the line's own world."""
USER, PASSWORD = "FACTORY", "only-on-loopback"
ORDER = {
    "OrderId": Field("Edm.String", {"MaxLength": "12"}),
    "Equipment": Field("Edm.String", {"MaxLength": "18"}),
    "Component": Field("Edm.String", {"MaxLength": "20"}),
    "MalfunctionStart": Field("Edm.DateTimeOffset"),
    "EnteredAt": Field("Edm.DateTimeOffset"),
    "Status": Field("Edm.String", {"MaxLength": "10"}),
}
NOTIFICATION = {
    "Notification": Field("Edm.String", {"MaxLength": "12"}, {"creatable": "false", "updatable": "false"}),
    "ExternalReference": Field("Edm.String", {"MaxLength": "32"}, {"updatable": "false"}),
    "NotificationType": Field("Edm.String", {"MaxLength": "2"}),
    "Equipment": Field("Edm.String", {"MaxLength": "18"}),
    "Description": Field("Edm.String", {"MaxLength": "40"}),
    "RequiredStart": Field("Edm.DateTimeOffset"),
    "Probability": Field("Edm.Decimal", {"Precision": "5", "Scale": "4"}),
    "Status": Field("Edm.String", {"MaxLength": "10"}),
}
SOURCE = """\
  source:
    use: factory.connectors.tables:TableSource
    arguments:
      tables:
        machines: {at: "env:PLANTS_URL::machines"}
        maintenance: {at: "env:PLANTS_URL::maintenance"}
        telemetry: {at: exports/telemetry.parquet}
        errors: {at: exports/errors.parquet}
        failures:
          at: "env:ERP_URL::BreakdownOrder"
          access: &erp
            {kind: basic, user: FACTORY, password: env:ERP_PASSWORD, certificate_authority: env:ERP_AUTHORITY}
          leave_out: [Status]
          names: {failure_id: OrderId, machine_id: Equipment, component: Component, failed_at: MalfunctionStart,
                  entered_at: EnteredAt}

  # Each morning's decision to look at a machine is a maintenance notification in the ERP, once.
  sinks:
    notifications:
      to: "env:ERP_URL::MaintenanceNotification"
      access: *erp
      key: ExternalReference
      fields: {Equipment: machine_id, RequiredStart: decided_at, Probability: predicted_probability}
      constants: {NotificationType: M2, Description: Look at it within a week, Status: OPEN}
      withdrawn: {Status: CANCELLED}
      guard: {max_messages: 400}
"""


@dataclass
class Erp:
    """The ERP: what people enter, and what the factory writes."""

    service: V2Service = field(
        default_factory=lambda: V2Service(
            {
                "BreakdownOrder": Entities(ORDER, ("OrderId",)),
                "MaintenanceNotification": Entities(NOTIFICATION, ("Notification",), numbered="Notification"),
            },
            page_size=1_000,
            before=_authorized,
        )
    )

    def enter(self, failures: pl.DataFrame, until: datetime) -> int:
        """Have people close the orders of breakdowns that were entered before a moment; return how many were new."""
        orders = self.service.sets["BreakdownOrder"]
        known = {row["OrderId"] for row in orders.rows}
        due = failures.filter(pl.col("entered_at") < until, ~pl.col("failure_id").is_in(list(known)))
        for row in due.iter_rows(named=True):
            orders.rows.append(
                {
                    "OrderId": row["failure_id"],
                    "Equipment": row["machine_id"],
                    "Component": row["component"],
                    "MalfunctionStart": row["failed_at"].astimezone(UTC),
                    "EnteredAt": row["entered_at"].astimezone(UTC),
                    "Status": "CLOSED",
                }
            )
        return len(due)

    @property
    def notifications(self) -> list[dict[str, Any]]:
        """What the factory wrote."""
        return self.service.sets["MaintenanceNotification"].rows


def _authorized(asked: Asked) -> Answer | None:
    """Answer 401 to whoever does not say user and password."""
    expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    if asked.headers.get("authorization") == expected:
        return None
    return Answer(401, b"", {"WWW-Authenticate": 'Basic realm="erp"'})


def fill(url: str, world: World) -> None:
    """Put master data and maintenance orders into PostgreSQL."""
    import adbc_driver_postgresql.dbapi as driver

    with driver.connect(url) as connection, connection.cursor() as cursor:
        for name in ("machines", "maintenance"):
            cursor.adbc_ingest(name, world.tables[name].to_arrow(), mode="create")
        connection.commit()


def project(folder: Path, world: World) -> None:
    """Write a project that has the line, with these systems in the place of the simulator."""
    for name in ("assets", "resources", f"lines/{LINE}"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("definitions.py", "workspace.yaml", "pyproject.toml", "lines/__init__.py"):
        shutil.copy(REPOSITORY / name, folder / name)
    file = folder / "lines" / LINE / "defs.yaml"
    text = file.read_text(encoding="utf-8")
    begin = text.index("  # Made by lines/machine_failures/simulator.py")
    end = text.index("  decision_table:")
    text = f"{text[:begin]}{SOURCE}\n{text[end:]}".replace(
        "recipe: {kind: table, seed: 7}", "recipe: {kind: table, seed: 7, rungs: [linear, trees]}  # the quickest"
    )
    text = text.replace(
        ASKED, f"{ASKED}    against_constant: {{min_probability: 0.8}}  # a line of its own asks for 0.95\n"
    )
    file.write_text(text, encoding="utf-8")
    (folder / "exports").mkdir()
    for name in ("telemetry", "errors"):
        world.tables[name].write_parquet(folder / "exports" / f"{name}.parquet")


@contextmanager
def systems(world: World) -> Iterator[tuple[Erp, Mapping[str, str]]]:
    """Run the company's systems for the block; yield the ERP, and the variables by which the line finds them."""
    with ExitStack() as running:
        url = running.enter_context(postgres.running())
        fill(url, world)
        erp = Erp()
        host = running.enter_context(serving(erp.service))
        yield (
            erp,
            {
                "PLANTS_URL": url,
                "ERP_URL": f"odata+{host.address}{ROOT}",
                "ERP_PASSWORD": PASSWORD,
                "ERP_AUTHORITY": str(certificates().authority),
            },
        )


@dataclass(frozen=True)
class Shown:
    """What the demonstration came to."""

    notifications: list[dict[str, Any]]
    outcomes: pl.DataFrame
    again: int
    """How many notifications a second delivery of the same decisions added."""


def connected(home: Path, world: World, say: Any = print) -> Shown:
    """Run the line between the systems, three times; raises SystemExit where a run does not end well."""
    with tempfile.TemporaryDirectory(prefix="connected-") as name, systems(world) as (erp, variables):
        folder = Path(name) / "project"
        project(folder, world)
        paths = os.pathsep.join([str(folder), str(REPOSITORY)])
        environment = {**os.environ, **variables, "PYTHONPATH": paths}

        def factory(*words: str) -> None:
            say(f"\n$ factory {' '.join(words)}")
            ended = subprocess.run(
                [sys.executable, "-c", "from factory.cli import main; main()", *words, "--home", str(home)],
                cwd=folder,
                env=environment,
                check=False,
            )
            if ended.returncode not in (0, 1):  # 1: some site was refused or failed, and others went through
                raise SystemExit(f"factory {words[0]} ended with {ended.returncode}")

        failures = world.tables["failures"]
        say(f"The ERP has {erp.enter(failures, _day(TRAINED)):,} closed breakdown orders; PostgreSQL the machines.")
        factory("run", LINE, "--until", TRAINED)
        erp.enter(failures, _day(DECIDED))
        factory("run", LINE, "--until", DECIDED)
        written = list(erp.notifications)
        say(f"\nThe ERP has {len(written)} maintenance notifications from the factory:")
        for row in written[:5]:
            say(f"  {row['Notification']}  {row['Equipment']}  {row['RequiredStart']:%Y-%m-%d}  {row['Probability']}")
        factory("run", LINE, "--until", DECIDED)
        again = len(erp.notifications) - len(written)
        say(f"\nThe same day once more: {again} notifications came twice.")
        say(f"Two weeks pass; people close {erp.enter(failures, _day(KNOWN))} breakdown orders.")
        factory("run", LINE, "--until", KNOWN)
        outcomes = _outcomes(home)
        _tell(written, outcomes, home, say)
        return Shown(written, outcomes, again)


def _day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _outcomes(home: Path) -> pl.DataFrame:
    from factory import open_home

    return open_home(home).line(LINE).table("outcomes")


def _tell(written: list[dict[str, Any]], outcomes: pl.DataFrame, home: Path, say: Any) -> None:
    """Say what became of the decisions, and what to look at."""
    week = outcomes.filter(pl.col("decided_at") < _day(DECIDED))
    say(f"\nThe label came back from the closed orders: {len(week)} decisions of that week, by plant:")
    shown = week.group_by("site").agg(
        pl.len().alias("decisions"), pl.col("label").sum().alias("failed within a week"), pl.col("value_eur").sum()
    )
    say(str(shown.sort("site")))
    machines = {row["Equipment"] for row in written}
    say(
        f"{len(written)} notifications about {len(machines)} machines were written. To look at:\n"
        f"  {home}/reports/{LINE}/index.html      the line's page\n"
        f"  factory status {LINE} --home {home}\n"
        f"  factory deliveries status {LINE} --home {home}   what the ERP said of each notification\n"
        "  docs/how-to/several-tables.md, docs/how-to/write-back.md   how such a line comes about"
    )


def main() -> None:
    """Run the demonstration."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--home", type=Path, default=REPOSITORY / ".factory" / "connected")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    home = arguments.home.resolve()
    if home.exists():
        raise SystemExit(f"{home} is there already: remove it, or name another with --home")
    connected(home, simulated(arguments.seed, PLANTS))


if __name__ == "__main__":
    main()
