"""What making models costs: the section `costs` of a line's file, and seconds in, euros out."""

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from factory.errors import LineError
from factory.line.lengths import length_of


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What is paid for, in EUR."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # an unknown key in a line's file is a mistake
    compute_hour_eur: float = 0.0
    """An hour of the machine that trains and judges."""
    site_model_eur: float = 0.0
    """The work of people on each new site model: looking at its figures, putting it into service."""
    horizon: str = "90d"
    """How long a model serves until the next one: in this time a larger one must earn what it costs more."""

    def __post_init__(self) -> None:
        """Raise LineError on a negative cost."""
        for name in ("compute_hour_eur", "site_model_eur"):
            if not getattr(self, name) >= 0:
                raise LineError(f"costs: {name} {getattr(self, name):g} must be 0 or more", at=(name,))
        if not length_of(self.horizon, "horizon"):
            raise LineError("costs: horizon must be longer than nothing", at=("horizon",))

    @property
    def horizon_days(self) -> float:
        """The horizon in days."""
        return length_of(self.horizon, "horizon") / timedelta(days=1)

    def retraining_eur(self, seconds: float, site_models: int) -> float:
        """Return the cost of a retraining, from its seconds and the number of site models it made."""
        return seconds / 3600 * self.compute_hour_eur + site_models * self.site_model_eur
