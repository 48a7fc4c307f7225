"""Runs a whole line as a process of its own, as `factory run` does; its runs are in the orchestrator's UI too."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from factory.orchestration.project import Project


class Launcher(dg.ConfigurableResource):  # type: ignore[type-arg]  # the resource is its own value
    """Launches a project's `definitions.py`."""

    root: str = Field(description="the project's folder, which has definitions.py")
    home: str = Field(description="folder of everything the factory keeps")

    def launch(self, words: Sequence[str], show: Callable[[Mapping[str, Any]], None]) -> int:
        """Run the words, hand each event to `show`, and return the exit code."""
        return Project(root=Path(self.root), home=Path(self.home)).launch(words, show)
