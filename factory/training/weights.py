"""A network's weights as plain tensors on the CPU, and as safetensors bytes; nothing here can run code on loading."""

from collections.abc import Mapping

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from factory.errors import ModelRefused

Weights = Mapping[str, Tensor]
"""Every parameter and buffer of a network by name, detached, contiguous and on the CPU."""


def weights_of(network: torch.nn.Module) -> dict[str, Tensor]:
    """Return a copy of a network's weights that later training does not change."""
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in network.state_dict().items()}


def to_bytes(weights: Weights) -> bytes:
    """Return the weights as one safetensors file; equal weights give equal bytes."""
    return bytes(save({name: tensor.contiguous() for name, tensor in sorted(weights.items())}))


def from_bytes(content: bytes) -> dict[str, Tensor]:
    """Return the weights in a safetensors file, or raise ModelRefused if it is not one."""
    try:
        return dict(load(content))
    except SafetensorError as error:
        raise ModelRefused(
            f"{len(content)} bytes are not a safetensors file ({error}); fetch the model again"
        ) from error
