"""What a tick of each sensor costs when nothing happened, at 16, 100 and 1,000 sites, beside Dagster's own conditions.

    python benchmarks/sensors.py [--sites 16 100 1000] [--rounds 5]

Sites that all serve, all judged for drift, none with news. The peers are `AutomationCondition.eager()` over as many
partitions, evaluated by the same Dagster in the same process: on two assets, and on all assets of the line itself,
which is what a line would use if it had no sensors of its own. A tick under a daemon adds the daemon's own work to all.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import polars as pl
from mlflow import MlflowClient

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from factory.connectors.source import newest_of  # noqa: E402
from factory.model.signature import Signature  # noqa: E402
from factory.model.verdict import Verdict, digest_of  # noqa: E402
from factory.names import model_name  # noqa: E402  found through the line above
from factory.orchestration.resources import Calendar  # noqa: E402
from tests.gateway.builders import onnx_model  # noqa: E402
from tests.toy.line import NAME, ToyFactory  # noqa: E402

SIGNATURE = Signature(task="binary", features=("a", "b", "c"), output="probability", answers=("probability",))
ROWS_A_SITE = 1000


class Rows:
    """A source of that many sites, which tells what is new as the shipped ones do: from a table of moments."""

    def __init__(self, sites: list[str]) -> None:
        self.rows = pl.DataFrame({"plant": sites}).join(
            pl.DataFrame({"pressed_at": [datetime(2024, 1, 1, minute=n % 60, tzinfo=UTC) for n in range(ROWS_A_SITE)]}),
            how="cross",
        )

    def newest(self, table, _until):
        """Return each site's newest moment."""
        return newest_of(self.rows, table)


def prepared(home: Path, count: int) -> tuple[ToyFactory, list[str]]:
    """Return a home in which so many sites serve version 1, which is their champion, and were judged for drift."""
    toy, sites = ToyFactory(home), [f"s{number:04}" for number in range(count)]
    uri = toy.registry.tracking_uri
    client, content, key = MlflowClient(tracking_uri=uri, registry_uri=uri), onnx_model(bias=0.0), toy.store.key()
    for site in sites:
        model = model_name(NAME, site)
        client.create_registered_model(model, tags={"line": NAME, "site": site})
        client.create_model_version(model, source=str(home), run_id=None)
        client.set_registered_model_alias(model, "champion", "1")
        verdict = Verdict(line=NAME, site=site, digest=digest_of(content), passed=True, reasons=(), figures={})
        toy.repository.release(
            content, line=NAME, site=site, version=1, verdict=verdict, signature=SIGNATURE, threshold=0.5,
            provenance={"as_of": "2024-02-01"}, example=(1.0, 2.0, 3.0), key=key,
        )  # fmt: skip
    told = {"as_of": "2024-02-01", "digest": digest_of(content), "alert": None}
    toy.journal.record("drift", dict.fromkeys(sites, told), dict.fromkeys(sites, "m"), run="r", seconds=0.0)
    return toy, sites


def eager(sites: list[str]) -> dg.Definitions:
    """Return two assets over the sites that Dagster's own conditions would keep up to date."""
    parts = dg.StaticPartitionsDefinition(sites)
    condition = dg.AutomationCondition.eager()

    @dg.asset(partitions_def=parts)
    def features() -> None: ...

    @dg.asset(partitions_def=parts, deps=[features], automation_condition=condition)
    def model() -> None: ...

    return dg.Definitions(assets=[features, model])


def eager_line(toy: ToyFactory) -> dg.Definitions:
    """Return the line's own assets, each with Dagster's own condition, and nothing else of it."""
    condition = dg.AutomationCondition.eager()
    assets = [
        definition.map_asset_specs(lambda spec: spec.replace_attributes(automation_condition=condition))
        for definition in toy.definitions().assets or ()
        if isinstance(definition, dg.AssetsDefinition)
    ]
    return dg.Definitions(assets=assets, resources=toy.definitions().resources)


def timed(work: Callable[[], object], rounds: int) -> float:
    """Return the median seconds of a few rounds, after one that warms up."""
    seconds = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def ticking(theirs: dg.Definitions, instance: dg.DagsterInstance, sites: list[str]) -> Callable[[], None]:
    """Return a tick of conditions over assets of which everything is up to date, as it is at our sites."""
    for key in theirs.resolve_asset_graph().get_all_asset_keys():
        partitioned = theirs.resolve_asset_graph().get(key).partitions_def is not None
        for site in sites if partitioned else [None]:
            instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=site))
    cursors: list[object] = [None]

    def tick() -> None:
        cursors[0] = dg.evaluate_automation_conditions(theirs, instance, cursor=cursors[0]).cursor

    return tick


def measure(count: int, rounds: int) -> None:
    """Print the seconds of an idle tick of each sensor, and of the peer's."""
    with tempfile.TemporaryDirectory() as folder, dg.DagsterInstance.ephemeral() as instance:
        toy, sites = prepared(Path(folder), count)
        instance.add_dynamic_partitions(f"{NAME}_sites", sites)
        definitions = toy.definitions()
        bound = {name: definitions.resources[name] for name in ("lake", "registry", "store")}
        resources = {**bound, "calendar": Calendar(as_of="2024-02-01"), f"{NAME}_source": Rows(sites)}
        found = {}
        for name in ("new_rows", "drifted", "champion_moved"):
            sensor = definitions.resolve_sensor_def(f"{NAME}_{name}")
            cursor: list[str | None] = [None]

            def tick(sensor: dg.SensorDefinition = sensor, cursor: list[str | None] = cursor) -> None:
                context = dg.build_sensor_context(instance, cursor=cursor[0], resources=resources)
                cursor[0] = sensor.evaluate_tick(context).cursor or cursor[0]

            found[name] = timed(tick, rounds)
        for name, peer in (("eager, two assets", eager(sites)), ("eager, the line", eager_line(toy))):
            found[name] = timed(ticking(peer, instance, sites), rounds)
    ours = sum(seconds for name, seconds in found.items() if not name.startswith("eager"))
    told = " · ".join(f"{name} {seconds:.3f} s" for name, seconds in found.items())
    print(f"{count:>5} sites: {told} · eager on the line / ours (all three) {found['eager, the line'] / ours:.2f}")


def main() -> None:
    """Measure each size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sites", type=int, nargs="+", default=[16, 100, 1000])
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    for count in asked.sites:
        measure(count, asked.rounds)


if __name__ == "__main__":
    main()
