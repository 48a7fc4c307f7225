"""The stages of a line in their order, and which of them an asset belongs to."""

from factory.errors import LineError

STAGES = (
    "raw",
    "clean",
    "features",
    "context",
    "predictions",
    "outcomes",
    "drift",
    "served",
    "served_outcomes",
    "base_model",
    "site_model",
    "verdict",
    "release",
    "report",
)


def checked_stage(name: str) -> str:
    """Return a stage's name unchanged, empty for none; raises LineError, which lists those there are."""
    if name and name not in STAGES:
        raise LineError(f"there is no stage {name!r}; a line's stages are {', '.join(STAGES)}")
    return name


def stage_of(asset: str) -> str:
    """Return the stage that makes an asset: `raw` of `raw/flights`, `clean` of `quarantine` and `clean_weather`."""
    first = asset.split("/", maxsplit=1)[0]
    return first if first in STAGES else "clean"


def comes_before(asset: str, stage: str) -> bool:
    """Whether the asset's stage comes before the stage; nothing comes before no stage (`""`)."""
    return bool(stage) and STAGES.index(stage_of(asset)) < STAGES.index(stage)
