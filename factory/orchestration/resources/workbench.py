"""A local folder for work in progress: checkpoints that a killed training resumes from."""

from pathlib import Path

import dagster as dg
from pydantic import Field


class Workbench(dg.ConfigurableResource):  # type: ignore[type-arg]  # the resource is its own value
    """Scratch space; losing it costs time and nothing else."""

    root: str = Field(description="folder on a local disk")

    def checkpoint(self, line: str, name: str, mark: str) -> Path:
        """Return the checkpoint file of one training over the inputs that `mark` stands for."""
        return Path(self.root) / line / name / f"{mark}.safetensors"
