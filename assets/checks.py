"""Checks a person sees on the assets: what is served has passed."""

import dagster as dg

from assets.specs import asset_key
from factory.errors import FactoryError
from factory.line import Line
from factory.names import model_name
from resources.model_store import ModelStore


def serving_check(line: Line, sites: dg.DynamicPartitionsDefinition) -> dg.AssetChecksDefinition:
    """Return the check that every served file has a signed, passing verdict for exactly its digest."""

    @dg.asset_check(asset=asset_key(line, "release"), name="served_models_have_passed")
    def served_models_have_passed(context: dg.AssetCheckExecutionContext, store: ModelStore) -> dg.AssetCheckResult:
        """Load every served model as the gateway would: digest, signature, verdict."""
        repository, public_key = store.repository(), store.key().public_key()
        served, refused = {}, {}
        for site in context.instance.get_dynamic_partitions(str(sites.name)):
            model = model_name(line.name, site)
            try:
                if repository.current(model) is not None:
                    served[site] = repository.load(model, public_key).manifest.digest
            except (FactoryError, OSError) as error:
                refused[site] = str(error)
        return dg.AssetCheckResult(passed=not refused, metadata={"served": served, "refused": refused})

    return served_models_have_passed
