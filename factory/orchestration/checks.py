"""Checks a person sees on the assets: what is served has passed, and business rows are answered."""

from collections.abc import Sequence

import dagster as dg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from factory.errors import FactoryError, ModelRefused, SnapshotRefused
from factory.line.line import Line
from factory.names import model_name
from factory.orchestration.specs import asset_key
from factory.pipeline.ports import Alerts, ReleaseStore
from factory.release import Manifest
from factory.release.protocols import ReleaseReader
from factory.release.store import ModelStore


def serving_check(line: Line, sites: dg.DynamicPartitionsDefinition) -> dg.AssetChecksDefinition:
    """Return the check that every served file has a signed, passing verdict for exactly its digest."""

    @dg.asset_check(asset=asset_key(line, "release"), name="served_models_have_passed")
    def served_models_have_passed(
        context: dg.AssetCheckExecutionContext, store: dg.ResourceParam[ModelStore], alerts: dg.ResourceParam[Alerts]
    ) -> dg.AssetCheckResult:
        """Load every served model as the gateway would: digest, signature, verdict; tell people of one it would not."""
        known = context.instance.get_dynamic_partitions(str(sites.name))
        refused = refused_by_gateway(line, known, store, alerts)
        return dg.AssetCheckResult(passed=not refused, metadata={"refused": refused})

    return served_models_have_passed


def door_check(line: Line) -> dg.AssetChecksDefinition:
    """Return the check that every site's business rows are answered, for a line whose features the gateway builds."""

    @dg.asset_check(asset=asset_key(line, "online_snapshot"), name="business_rows_are_answered")
    def business_rows_are_answered(store: dg.ResourceParam[ModelStore]) -> dg.AssetCheckResult:
        """Say of which sites a feature cannot be told at the gateway's door, which one, and why."""
        from factory.features.online.store import Snapshots

        try:
            snapshot = Snapshots(store.root).current(line.name)
        except SnapshotRefused as error:
            return dg.AssetCheckResult(passed=False, description=str(error))
        shut = dict(snapshot.shut) if snapshot else {}
        return dg.AssetCheckResult(passed=snapshot is not None and not shut, metadata={"shut": shut})

    return business_rows_are_answered


def refused_by_gateway(line: Line, sites: Sequence[str], store: ReleaseStore, alerts: Alerts) -> dict[str, str]:
    """Load what each site serves as the gateway would; return why it would not, by site, and tell people of it."""
    repository, public_key = store.repository(), store.key().public_key()
    refused = {}
    for site in sites:
        model = model_name(line.name, site)
        try:
            if repository.current(model) is not None:
                rightly_served(repository, model, public_key)
        except (FactoryError, OSError) as error:
            refused[site] = str(error)
            alerts.tell("release refused", f"{site}: {error}", line=line.name, site=site)
    return refused


def rightly_served(repository: ReleaseReader, model: str, key: Ed25519PublicKey) -> Manifest:
    """Return what is served; raises ModelRefused where the gateway may not load it, or a rollback holds another file.

    The gateway has no history to look at, so a link switched by hand past a rollback is found here.
    """
    manifest, hold = repository.load(model, key).manifest, repository.permissions(model, key).hold
    if hold and hold.digest != manifest.digest:
        raise ModelRefused(
            f"{model}: release {manifest.sequence} is served, but the rollback by {hold.actor} ({hold.reason}) holds "
            f"release {hold.release}: the link was switched by hand. To put it right: "
            f"factory rollback {manifest.site} --to {hold.release} --by NAME --reason …"
        )
    return manifest
