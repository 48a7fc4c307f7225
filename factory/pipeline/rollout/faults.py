"""What speaks against a release that a wave was given: it cannot answer, or somebody took it out of service again."""

from collections.abc import Iterator

from factory.errors import ModelRefused
from factory.names import model_name
from factory.pipeline.rollout.judging import Outcome, Reason
from factory.pipeline.rollout.sites import LinePlace
from factory.release.rollback import try_out


def faults_of(place: LinePlace, outcome: Outcome) -> Iterator[Reason]:
    """Yield the reasons against what the site serves; none where it has not been released yet."""
    site, model = outcome.site, model_name(place.line, outcome.site)
    back = place.permissions(site).withdrawn.get(outcome.digest)
    if back:
        says = f"{site}: {back.actor} took it out of service again: {back.reason}"
        yield Reason(site=site, figure="withdrawn", found=back.at, limit="not withdrawn", says=says)
    if place.repository.marker(model) is None:
        return
    try:
        try_out(place.repository.load(model, place.key.public_key()))
    except ModelRefused as error:
        says = f"{site}: what it serves cannot be loaded, or does not answer its example: {error}"
        yield Reason(site=site, figure="smoke", found=str(error), limit="answers its example", says=says)
