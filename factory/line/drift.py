"""When a line reports drift: the section `drift` of its file."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from factory.errors import LineError

Mode = Literal["disabled", "dry_run", "enabled"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How large an effect must be, and how often it must be seen, to be reported as drift.

    Of the features reported as moved in a window, at most the share `max_false_discoveries` is expected to be noise;
    the same holds for the sites reported as earning less. The effects are the PSI above noise, the change of the share
    of nulls, and the share of a decision's value that is lost.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # an unknown key in a line's file is a mistake
    mode: Mode = "enabled"
    """Whether drift starts a retraining, only shows in the log, or is not looked for at all."""
    max_false_discoveries: float = 0.05
    """The share of what is reported that may be expected to be noise; between 0 and 1."""
    min_psi: float = 0.1
    """The population stability index above its noise that counts as moved."""
    min_null_change: float = 0.05
    """The change of the share of missing values that counts as moved."""
    min_value_loss: float = 0.2
    """The share of a decision's value that must be lost."""
    min_rows: int = 20
    """Rows that a window must have to be judged."""
    windows_of: tuple[int, int] = (2, 3)
    """k of n: a feature is reported when it moved in k of the last n windows."""
    quiet_days: float = 7.0
    """Days after a retraining or an alert during which a site is not reported."""

    def __post_init__(self) -> None:
        """Raise LineError on limits that would always report drift, or never."""
        k, n = self.windows_of
        if not 1 <= k <= n:
            raise LineError(f"drift: windows_of [{k}, {n}] must be k of n windows, 1 <= k <= n", at=("windows_of",))
        if not 0 < self.max_false_discoveries < 1:
            raise LineError(
                f"drift: max_false_discoveries {self.max_false_discoveries:g} must lie between 0 and 1",
                at=("max_false_discoveries",),
            )
        if self.min_rows < 1:
            raise LineError(f"drift: min_rows {self.min_rows} must be 1 or more", at=("min_rows",))
        if not self.quiet_days >= 0:
            raise LineError(f"drift: quiet_days {self.quiet_days:g} must be 0 or more", at=("quiet_days",))
