"""One site's failure is one site's failure.

Work over many sites is done together, because that is many times faster. When that fails, it is done again site by
site, so that only the sites at fault fail.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from factory.errors.masking import masked

log = logging.getLogger(__name__)
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Isolated(Generic[Result]):
    """The result of each site that succeeded, and the error of each one that failed."""

    done: Mapping[str, Result] = field(default_factory=dict)
    failed: Mapping[str, Exception] = field(default_factory=dict)


def together(sites: Sequence[str], work: Callable[[Sequence[str]], Mapping[str, Result]]) -> Isolated[Result]:
    """Do the work for all sites at once, or, if that fails, for each alone. The work writes all or nothing."""
    if not sites:
        return Isolated()
    try:
        return Isolated(done=work(sites))
    except Exception as error:  # noqa: BLE001  the boundary of a site: whatever stops one must not stop the others
        if len(sites) == 1:
            return Isolated(failed={sites[0]: error})
        log.warning("work over %d sites failed together (%s); doing it site by site", len(sites), masked(str(error)))
    return one_by_one(sites, lambda site: work([site])[site])


def one_by_one(sites: Sequence[str], work: Callable[[str], Result]) -> Isolated[Result]:
    """Do the work for each site alone."""
    done: dict[str, Result] = {}
    failed: dict[str, Exception] = {}
    for site in sites:
        try:
            done[site] = work(site)
        except Exception as error:  # noqa: BLE001  the boundary of a site
            failed[site] = error
    return Isolated(done=done, failed=failed)
