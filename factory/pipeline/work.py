"""What a stage does in one run, as two functions over sites."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from factory.compute.isolation import Isolated

Figures = Mapping[str, Any]
"""What a stage says of what it made for one site, as JSON types; the journal keeps it and the UI shows it."""
ROW_COUNT = "row_count"
"""The figure that counts the rows of what was made; a stage that makes several assets gives a count for each."""
CONTENT = "content"
"""The figure that names what was made by what is in it: where it stays the same, nothing after it is done again."""
CHANGED = "changed"
"""The figure by which a stage without `inputs` says whether it changed anything."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """A stage bound to one run."""

    do: Callable[[Sequence[str]], Isolated[Figures]]
    """Does the stage for some sites; one that fails harms no other, and whoever dies in it can do it again."""
    inputs: Callable[[Sequence[str]], Mapping[str, str]] | None = None
    """What each site's result is made from, as fingerprints: a site whose last result was made from the same is left
    alone. None: the stage itself looks for what is new, and says in its figures whether it `changed` anything."""
    lost: Callable[[Sequence[str]], Mapping[str, str]] | None = None
    """Asked about sites that would be left alone: what happened to those whose last result is not there any more as it
    was made, for another program deleted or changed it. They are done again."""
