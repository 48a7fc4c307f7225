"""The Dagster instance of a home: opened, and made on first use, with settings that people may change afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from factory.orchestration.settings import prepare_orchestrator
from factory.orchestration.stopping import undisturbed
from factory.storage.locks import FileLocks


@contextmanager
def opened_instance(folder: Path) -> Iterator[dg.DagsterInstance]:
    """Open the Dagster instance in a folder, made on first use; what runs on it is in the UI too."""
    prepare_orchestrator(folder)
    # Two that make its databases at once spoil them for good, and so does one that is stopped half-way.
    with FileLocks(folder).hold("opening"), undisturbed():
        opened = dg.DagsterInstance.from_config(str(folder))
    with opened as instance:
        yield instance
