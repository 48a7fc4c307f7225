"""The recipes: every number that decides what a training run produces. One for tables, one for sequences."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from factory.errors import LineError


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Schedule of base training and fine-tuning, the same for every architecture.

    The learning rate of base training rises for the first `warmup` share of all steps and then falls along a cosine.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # an unknown key in a line's file is a mistake
    seed: int = 7

    dropout: float = 0.0
    epochs: int = 8
    patience: int = 3
    """Epochs without a better validation loss after which training, or a site's fine-tuning, stops."""
    batch_rows: int = 256
    learning_rate: float = 6e-3
    weight_decay: float = 3e-4
    second_moment: float = 0.999
    """How slowly AdamW forgets the size of gradients, its beta 2."""
    warmup: float = 0.05
    max_gradient_norm: float = 1.0

    fine_tune_epochs: int = 4
    fine_tune_steps: int = 15
    """Steps of one fine-tuning epoch, the same for every site, so that no site's result depends on another's size."""
    fine_tune_batch_rows: int = 128
    """Rows of each site in one fine-tuning step."""
    fine_tune_learning_rate: float = 1e-3
    fine_tune_pull: float = 20.0
    """How strongly fine-tuned weights are pulled back to the base model's: the share of their distance, times the
    learning rate, that each step takes away (L2-SP, Li, Grandvalet & Davoine, 2018, decoupled as in AdamW)."""
    fine_tune_min_rows: int = 500
    """Training rows below which a site keeps the base model."""
    fine_tune_min_gain: float = 0.002
    """Share of the base model's validation loss that fine-tuning must take away, or the site keeps the base model."""

    calibration_prior_rows: int = 5000
    """How many rows the pooled calibration weighs as when a site's own is fitted."""

    baseline_iterations: int = 100

    @property
    def steps(self) -> int | None:
        """How many moments a model of this recipe sees; None for single rows."""
        return None


@dataclass(frozen=True, kw_only=True)
class TableRecipe(Recipe):
    """TabM with piecewise-linear embeddings: one row in, one answer out (factory/training/table_network.py)."""

    kind: Literal["table"] = "table"
    members: int = 16
    """Ensemble members that share their weight matrices."""
    width: int = 96
    depth: int = 2
    bins: int = 24
    """At most so many pieces in a feature's piecewise-linear encoding."""
    embedding: int = 8
    """Numbers a feature is embedded in."""


@dataclass(frozen=True, kw_only=True)
class SequenceRecipe(Recipe):
    """A temporal convolution over the last moments of one thing's life (factory/training/sequence_network.py)."""

    kind: Literal["sequence"] = "sequence"
    window: int = 60
    """Moments a decision looks back on, including its own; those before the entity began are unknown."""
    condition_columns: tuple[str, ...] = ()
    """The settings a machine runs at: what is ordinary is learnt for each operating condition found in them."""
    max_conditions: int = 8

    patch: int = 5
    """Neighbouring moments that enter the network as one step: noise averages out, and what follows costs a fifth."""
    channels: int = 48
    blocks: int = 3
    """Residual blocks; their convolutions look 2, 4, 8, … steps back."""
    members: int = 8
    """Ensemble members that share the convolutions and differ in their heads."""
    head_width: int = 32

    shift: float = 0.25
    """In training each column of a window is moved as a whole by chance, by so many standard deviations: what counts is
    the course of a reading, not its height, which differs from one machine to the next."""

    dropout: float = 0.1
    epochs: int = 5
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    second_moment: float = 0.99
    warmup: float = 0.1
    fine_tune_steps: int = 20
    fine_tune_learning_rate: float = 1e-4
    fine_tune_min_gain: float = 0.02
    """The loss of a few validation lives jumps by more than this from epoch to epoch."""

    def __post_init__(self) -> None:
        """Raise LineError on a window that holds nothing."""
        if self.window < 1 or self.patch < 1:
            raise LineError(f"recipe: window {self.window} and patch {self.patch} must be 1 or more")

    @property
    def steps(self) -> int | None:
        """The window."""
        return self.window
