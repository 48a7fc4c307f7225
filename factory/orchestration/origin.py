"""Where a project's code is, in the words by which Dagster finds it from another process: UI, daemon, launcher."""

import sys
from pathlib import Path
from typing import Any

from dagster._core.code_pointer import FileCodePointer
from dagster._core.origin import DEFAULT_DAGSTER_ENTRY_POINT, JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

LOCATION = "factory"
"""The code location's name in `workspace.yaml`."""
REPOSITORY, DEFINITIONS = "__repository__", "defs"


def job_origins(root: Path, job: str) -> dict[str, Any]:
    """Return both origins of a job that `definitions.py` in a project's folder defines."""
    file = str(root / "definitions.py")
    location = ManagedGrpcPythonEnvCodeLocationOrigin(
        loadable_target_origin=LoadableTargetOrigin(python_file=file, working_directory=str(root)),
        location_name=LOCATION,
    )
    code = RepositoryPythonOrigin(
        executable_path=sys.executable,
        code_pointer=FileCodePointer(python_file=file, fn_name=DEFINITIONS, working_directory=str(root)),
        entry_point=DEFAULT_DAGSTER_ENTRY_POINT,
    )
    return {
        "remote_job_origin": RemoteJobOrigin(
            repository_origin=RemoteRepositoryOrigin(code_location_origin=location, repository_name=REPOSITORY),
            job_name=job,
        ),
        "job_code_origin": JobPythonOrigin(job_name=job, repository_origin=code),
    }
