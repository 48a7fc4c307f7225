"""The section `outcomes` of a line's file: what a decision itself did to its outcome.

Who acts on an alarm may prevent what it warned of, and the label then says that there was nothing to warn of. Neither
what is learnt nor what decisions are worth can be told from such labels.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from factory.errors import LineError


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """What becomes of the labels of decisions that were acted on."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    acted_on: Literal["as_labelled", "left_out", "hold_out"] = "as_labelled"
    """`as_labelled`: the label is taken for what would have happened anyway, right where acting changes nothing, as for
    a delay that is only announced. `left_out`: models neither learn from such rows nor are judged on them, and nothing
    is counted for them. `hold_out`: the same, but a random share is not acted on, and each of these counts for all that
    were."""
    hold_out_share: float = 0.05
    """`hold_out`: of the decisions that would be acted on the share that is not: above 0, at most 0.5."""

    def __post_init__(self) -> None:
        """Raise LineError on a share that holds nobody out, or most."""
        if not 0 < self.hold_out_share <= 0.5:
            raise LineError(
                f"outcomes: hold_out_share is {self.hold_out_share:g}; it must be above 0 and at most 0.5",
                at=("hold_out_share",),
            )

    @property
    def tells(self) -> str:
        """What the estimate of value counts, in words."""
        return {
            "as_labelled": "every decision, as it was labelled",
            "left_out": "decisions that were not acted on; the others are left out",
            "hold_out": "decisions that were not acted on, those held out for all that were",
        }[self.acted_on]
