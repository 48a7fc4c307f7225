"""The settings of a home's Dagster instance, written once and then a person's to change; Dagster is not loaded."""

from pathlib import Path

from factory.storage.atomic_files import temporary_name

# Nothing calls home and nobody is asked for an address, unless the file is changed to say so.
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
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "dagster.yaml"
    if not settings.exists():
        fresh = folder / temporary_name(settings.name)
        fresh.write_text(ORCHESTRATOR_SETTINGS, encoding="utf-8")
        fresh.replace(settings)
