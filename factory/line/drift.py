"""What a line may say about drift: the section `drift` of its file."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from factory.errors import LineError

Mode = Literal["disabled", "dry_run", "enabled"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How far is far, and how often is often; the section `drift` of a line's file.

    Of the features that are said to have moved in a window at most the share `max_false_discoveries` is expected to be
    noise, and so of the sites that are said to earn less. The effects: PSI above noise, change of the share of nulls,
    and share of a decision's value that is lost.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # an unknown key in a line's file is a mistake
    mode: Mode = "enabled"
    max_false_discoveries: float = 0.05
    min_psi: float = 0.1
    min_null_change: float = 0.05
    min_value_loss: float = 0.2
    min_rows: int = 20
    windows_of: tuple[int, int] = (2, 3)
    """k of n: a feature must have moved in so many of the last so many windows."""
    quiet_days: float = 7.0
    """How long after a retraining or an alert nothing is said of a site."""

    def __post_init__(self) -> None:
        """Raise LineError on limits that would never speak, or always."""
        k, n = self.windows_of
        if not 1 <= k <= n:
            raise LineError(f"drift: windows_of [{k}, {n}] must be k of n windows, 1 <= k <= n")
        if not 0 < self.max_false_discoveries < 1:
            raise LineError(f"drift: max_false_discoveries {self.max_false_discoveries:g} must lie between 0 and 1")
        if self.min_rows < 1 or self.quiet_days < 0:
            raise LineError(
                f"drift: min_rows {self.min_rows} must be 1 or more, quiet_days {self.quiet_days:g} 0 or more"
            )
