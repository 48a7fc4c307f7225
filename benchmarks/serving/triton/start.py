"""A real Triton over a model repository, unchanged: the server that PyPI's `nvidia-pytriton` carries.

    <python with nvidia-pytriton, numpy<2 and onnxruntime> benchmarks/serving/triton/start.py <home>/models [options]

`make triton` makes that environment. Takes the repository's folder and any options of `tritonserver`, and becomes it,
with every model loaded that is served. Triton 2.51 is carried with its Python backend alone; the folder `onnxruntime`
beside this file makes that a backend for our releases. Where the genuine one is at hand, none of this is needed.
"""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
BACKENDS = Path(sys.prefix, "triton-backends")


def package() -> Path:
    """Return where nvidia-pytriton lies; importing it would take a second and is not needed."""
    found = importlib.util.find_spec("pytriton")
    if found is None or found.origin is None:
        sys.exit(f"{sys.executable} has no nvidia-pytriton; `make triton` makes an environment that has")
    return Path(found.origin).parent


def backends(carried: Path) -> Path:
    """Return a folder of backends: the carried one, its stub for this Python, and ours."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = carried / "python_backend_stubs" / python / "triton_python_backend_stub"
    for file in [*(carried / "backends" / "python").glob("*triton_python*"), stub]:
        copy(file, BACKENDS / "python")
    copy(HERE / "onnxruntime" / "model.py", BACKENDS / "onnxruntime")
    return BACKENDS


def copy(file: Path, folder: Path) -> None:
    """Put a file there, also while another Triton runs from it. A copy: Triton follows no link out of the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{file.name}.{os.getpid()}"
    shutil.copy(file, draft)
    draft.replace(folder / file.name)


def main(repository: Path, *options: str) -> None:
    """Become Triton."""
    carried = package() / "tritonserver"
    # By name, one by one: asked for all, Triton takes `.releases` for a model too, and stops.
    served = sorted(place.name for place in repository.iterdir() if place.is_symlink())
    words = [str(carried / "bin" / "tritonserver"), f"--model-repository={repository}"]
    words += [f"--backend-directory={backends(carried)}", "--model-control-mode=explicit"]
    words += [*(f"--load-model={model}" for model in served), *options]
    # The stub finds the environment by the first python in PATH, and its libraries beside the package.
    path = f"{Path(sys.prefix, 'bin')}:{os.environ['PATH']}"
    libraries = package().parent / "nvidia_pytriton.libs"
    os.execve(words[0], words, {**os.environ, "PATH": path, "LD_LIBRARY_PATH": str(libraries)})  # noqa: S606


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), *sys.argv[2:])
