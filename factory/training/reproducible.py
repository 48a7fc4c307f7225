"""Torch's global switches, set for one training and put back after it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def on_cuda(device: str) -> bool:
    """Return whether this torch device is a CUDA one."""
    return torch.device(device).type == "cuda"


@contextmanager
def reproducible(device: str) -> Iterator[None]:
    """Make what runs inside deterministic, and leave torch's random state, switches and precision as they were."""
    were_deterministic = torch.are_deterministic_algorithms_enabled()
    warned_only = torch.is_deterministic_algorithms_warn_only_enabled()
    precision = torch.get_float32_matmul_precision()
    try:
        with torch.random.fork_rng(devices=[device] if on_cuda(device) else []), _fixed_workspace(device):
            torch.use_deterministic_algorithms(True)
            torch.set_float32_matmul_precision("high" if on_cuda(device) else precision)
            yield
    finally:
        torch.use_deterministic_algorithms(were_deterministic, warn_only=warned_only)
        torch.set_float32_matmul_precision(precision)


def seed_torch(seed: int, device: str) -> None:
    """Seed the CPU's generator and this device's, and no other's."""
    torch.default_generator.manual_seed(seed)
    if on_cuda(device):
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


@contextmanager
def _fixed_workspace(device: str) -> Iterator[None]:
    """Give cuBLAS the fixed workspace it needs to be deterministic; cuBLAS reads it from the environment only."""
    name = "CUBLAS_WORKSPACE_CONFIG"
    before = os.environ.get(name)
    if on_cuda(device) and before is None:
        os.environ[name] = ":4096:8"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
