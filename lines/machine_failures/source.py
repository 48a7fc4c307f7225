"""The made-up company's tables as files, written when they are first needed, and read as any other Parquet files."""

from collections.abc import Mapping
from pathlib import Path

from factory.connectors.tables import TableSource
from factory.storage.journal import fingerprint
from lines.machine_failures import simulator

TABLES = ("machines", "telemetry", "errors", "maintenance", "failures")


class SimulatedPlants(TableSource):
    """The five tables of a seed; see simulator.py for what is made and how."""

    def __init__(self, data_folder: Path, seed: int = 7, plants: Mapping[str, int] = simulator.PLANTS) -> None:
        made_by = fingerprint(Path(simulator.__file__).read_text(encoding="utf-8"), seed, dict(plants))
        self.folder = data_folder / f"machine_failures-{made_by}"
        if not all((self.folder / f"{name}.parquet").exists() for name in TABLES):
            simulator.write(self.folder, seed, plants)
        super().__init__({name: {"at": str(self.folder / f"{name}.parquet")} for name in TABLES})
