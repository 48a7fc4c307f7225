"""The gateway's records as a resource: the folder that its predictions are written to."""

from pathlib import Path

import dagster as dg
from pydantic import Field


class GatewayRecords(dg.ConfigurableResource):  # type: ignore[type-arg]  # the resource is its own value
    """Segments of recorded predictions, of all lines; one folder of one gateway, or of several that share a home."""

    folder: str = Field(description="folder of the segments; those of gateways elsewhere may be copied into it")

    def place(self) -> Path:
        """Return the folder; it need not be there."""
        return Path(self.folder)
