"""Follows the registry's champion: an alias that somebody moved is redeployed, or refused with an alert.

The registry's UI lets anybody move an alias. What it moves to is served only if it was promoted by a passing verdict on
its very file, was released before, and no rollback holds the site; a hold puts the alias back instead. Where a person
promoted a trial, it is the alias that follows.
"""

import dagster as dg

from factory.errors import FactoryError, ModelRefused, ReleaseRefused
from factory.line.line import Line
from factory.monitoring.alerts import Alerts
from factory.names import checked_name, model_name
from factory.orchestration.attempts import Attempts
from factory.pipeline.champion import follow_person
from factory.registry.registry import Registry
from factory.release.rollback import redeploy
from factory.release.store import ModelStore

INTERVAL_S = 60


class FollowConfig(dg.Config):
    """Whose alias was moved."""

    sites: list[str]


def follow_job(line: Line) -> dg.JobDefinition:
    """Return the job `<line>_follow_job`: make what the alias says and what the site serves the same again."""

    @dg.op(name=f"{line.name}_follow", description="Redeploys the registry's champion, or says why not.")
    def follow(
        context: dg.OpExecutionContext,
        config: FollowConfig,
        registry: dg.ResourceParam[Registry],
        store: dg.ResourceParam[ModelStore],
        alerts: dg.ResourceParam[Alerts],
    ) -> None:
        for site in config.sites:
            model = model_name(line.name, checked_name(site))
            try:
                context.log.info(followed(model, registry, store))
            except (ModelRefused, ReleaseRefused) as error:
                alerts.tell("champion refused", f"{site}: {error}", line=line.name, site=site)

    @dg.job(name=f"{line.name}_follow_job", tags={"line": line.name}, description=follow_job.__doc__)
    def job() -> None:
        follow()

    return job


def followed(model: str, registry: Registry, store: ModelStore) -> str:
    """Make alias and release agree and return what was done. Raises ModelRefused or ReleaseRefused with why not."""
    repository, key = store.repository(), store.key()
    if due := repository.unregistered(model, key.public_key()):
        return follow_person(model, due, registry, store)
    champion = registry.champion(model)
    if champion is None:
        return f"{model} has no champion; it goes on serving what it serves"
    now = redeploy(repository, model, champion.digest, by="alias in the registry", key=key)
    return f"{model} serves version {now.version} as release {now.sequence}"


def champion_sensor(line: Line) -> dg.SensorDefinition:
    """Return the sensor `<line>_champion_moved`.

    It asks for a run when alias and release have differed at two ticks in a row, since in between promoting and
    releasing they do for a moment. A run that fails is asked for again, three times in all; one that went through is
    not, whatever it decided.
    """

    # By the job's name: given the job itself, Dagster makes the sensor anew on loading, and warns of its own doing.
    @dg.sensor(
        name=f"{line.name}_champion_moved",
        job_name=f"{line.name}_follow_job",
        minimum_interval_seconds=INTERVAL_S,
    )
    def champion_moved(
        context: dg.SensorEvaluationContext, registry: dg.ResourceParam[Registry], store: dg.ResourceParam[ModelStore]
    ) -> dg.SensorResult:
        """Compare every site's champion with what it serves."""
        attempts = Attempts(f"{line.name}-champion", context, patience=1)
        due = attempts.due(differences(line.name, registry, store))
        requests = [_request(line.name, key, sites) for key, sites in due.items()]
        return dg.SensorResult(run_requests=requests, cursor=attempts.cursor)

    return champion_moved


def differences(line: str, registry: Registry, store: ModelStore) -> dict[str, str]:
    """Return, for each site that serves another version than its alias says, `<alias>-<served>`."""
    moved, repository, removed = {}, store.repository(), store.removed_sites(line)
    for site, version in registry.champions(line).items():
        if site in removed:
            continue  # it serves nothing, whatever its alias says
        try:
            served = repository.current(model_name(line, site))
        except FactoryError:
            continue  # the check on what is served reports a release that cannot be read
        if served is None or served.version != version:
            moved[site] = f"{version}-{served.version if served else 'none'}"
    return moved


def _request(line: str, key: str, sites: list[str]) -> dg.RunRequest:
    config = {"ops": {f"{line}_follow": {"config": {"sites": sites}}}}
    return dg.RunRequest(run_key=key, run_config=config)
