"""The progress of a training, and its one checkpoint file: safetensors with JSON in its header, no pickle."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from factory.features.samples import Samples
from factory.line.recipe import Recipe
from factory.tasks import Task
from factory.training.network import Network
from factory.training.weights import weights_of


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One epoch's figures: the members' mean loss on the training rows; loss and the task's headline on validation."""

    number: int
    training_loss: float
    validation_loss: float
    validation_headline: float


@dataclass(kw_only=True)
class Progress:
    """A training under way: network and optimizer as they are, the best weights so far, and every epoch's figures."""

    network: Network
    optimizer: torch.optim.Optimizer
    average: AveragedModel | None = None
    """The running average of the network's weights, where that is what is judged."""
    best: dict[str, Tensor] = field(default_factory=dict)
    history: list[Epoch] = field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        """Return the number of the first epoch with the least validation loss; 0 before the first."""
        return min(self.history, key=lambda epoch: epoch.validation_loss).number if self.history else 0

    @property
    def judged(self) -> Network:
        """The network that is judged and kept: the averaged one, where there is one."""
        return self.network if self.average is None else cast(Network, self.average.module)

    def add(self, epoch: Epoch) -> None:
        """Record an epoch, and keep the judged network's weights if it is the best."""
        self.history.append(epoch)
        if self.best_epoch == epoch.number:
            self.best = weights_of(self.judged)


def fingerprint(recipe: Recipe, task: Task, device: str, *samples: Samples) -> str:
    """Return a digest of everything that decides a training's result, so that only its own checkpoint is resumed."""
    digest = hashlib.sha256(f"{recipe} {task} {torch.device(device).type} {torch.__version__}".encode())
    for rows in samples:
        digest.update(f"{rows.features.shape}".encode())
        digest.update(np.ascontiguousarray(rows.features).data)
        digest.update(np.ascontiguousarray(rows.label).data)
    return digest.hexdigest()


def save(progress: Progress, path: Path, key: str) -> None:
    """Write the checkpoint to a temporary file and rename it: the file is always a complete checkpoint."""
    tensors = {f"network.{name}": tensor for name, tensor in weights_of(progress.network).items()}
    tensors |= {f"best.{name}": tensor for name, tensor in progress.best.items()}
    if progress.average is not None:
        tensors |= {f"average.{name}": tensor for name, tensor in weights_of(progress.average).items()}
    for index, state in progress.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": tensor.cpu().contiguous() for name, tensor in state.items()}
    notes = {"fingerprint": key, "history": [asdict(epoch) for epoch in progress.history]}
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    save_file(tensors, new, metadata={"notes": json.dumps(notes)})
    new.replace(path)


def resume(progress: Progress, path: Path, key: str) -> None:
    """Continue from the checkpoint; without a complete one of exactly this training, do nothing."""
    if not path.is_file():
        return
    try:
        with safe_open(path, framework="pt") as file:
            notes = json.loads((file.metadata() or {}).get("notes", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except SafetensorError:
        return
    if notes.get("fingerprint") != key:
        return
    progress.history = [Epoch(**figures) for figures in notes["history"]]
    progress.best = _part(tensors, "best.")
    progress.network.load_state_dict(_part(tensors, "network."))
    if progress.average is not None:
        progress.average.load_state_dict(_part(tensors, "average."))
    _restore_optimizer(progress.optimizer, _part(tensors, "optimizer."))


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put each parameter's moments back; rates are set anew at every step."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
