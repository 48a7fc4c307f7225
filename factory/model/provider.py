"""What the models run on: the names of ONNX Runtime's execution providers, and that nothing else is fallen back to."""

from collections.abc import Sequence
from typing import Literal

from factory.errors import ProviderMissing

Provider = Literal["cpu", "cuda"]

ON_CPU = ("CPUExecutionProvider",)
_PROVIDERS = {"cpu": ON_CPU, "cuda": ("CUDAExecutionProvider", *ON_CPU)}
_INSTALL = {
    "cpu": "install onnxruntime",
    "cuda": "it needs an NVIDIA GPU with its driver, and onnxruntime-gpu in the place of onnxruntime: "
    "`pip uninstall onnxruntime`, then `pip install 'onnxruntime-gpu[cuda,cudnn]'`",
}


def installed_providers(wanted: Provider) -> tuple[str, ...]:
    """Return what sessions are built with here; raises ProviderMissing."""
    import onnxruntime

    providers = execution_providers(wanted, onnxruntime.get_available_providers())
    if wanted == "cuda":
        onnxruntime.preload_dlls()  # CUDA and cuDNN may have come as packages, where no loader looks for them
    return providers


def execution_providers(wanted: Provider, available: Sequence[str]) -> tuple[str, ...]:
    """Return what a session is built with, first what is wanted; operators that it lacks run on the processor.

    Raises ProviderMissing where the ONNX Runtime that is installed, which has the `available` ones, lacks it.
    """
    names = _PROVIDERS[wanted]
    if names[0] not in available:
        raise ProviderMissing(
            f"--provider {wanted}: the ONNX Runtime that is installed has no {names[0]}, "
            f"only {', '.join(available) or 'nothing'}; {_INSTALL[wanted]}"
        )
    return names
