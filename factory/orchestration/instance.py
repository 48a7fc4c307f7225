"""The Dagster instance of a home: opened, and made on first use, with settings that people may change afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from factory.orchestration.stopping import signals_deferred
from factory.storage.atomic_files import temporary_name
from factory.storage.faults import make_folder
from factory.storage.locks import FileLocks

# No telemetry and no request for a mail address, unless a person changes the file.
ORCHESTRATOR_SETTINGS = """\
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  pools:
    granularity: run
  runs:
    tag_concurrency_limits:  # one run over a whole line at a time
      - key: factory/line
        value: {applyLimitPerUniqueValue: true}
        limit: 1
run_retries:
  enabled: true  # for runs whose tags say how often
"""


def prepare_orchestrator(folder: Path) -> None:
    """Make the orchestrator's folder with its settings; those that are there already stay."""
    make_folder(folder)
    settings = folder / "dagster.yaml"
    if not settings.exists():
        fresh = folder / temporary_name(settings.name)
        fresh.write_text(ORCHESTRATOR_SETTINGS, encoding="utf-8")
        fresh.replace(settings)


@contextmanager
def opened_instance(folder: Path) -> Iterator[dg.DagsterInstance]:
    """Open the Dagster instance in a folder, made on first use; what runs on it is in the UI too."""
    prepare_orchestrator(folder)
    # Two processes that make its databases at once break them for good, and so does one that is stopped half-way.
    with FileLocks(folder).hold("opening"), signals_deferred():
        opened = dg.DagsterInstance.from_config(str(folder))
    with opened as instance:
        yield instance
