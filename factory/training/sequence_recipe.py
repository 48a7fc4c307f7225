"""The recipe of the sequence network: every number that decides what a training run produces."""

from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True, kw_only=True)
class SequenceRecipe:
    """Architecture and schedule of base training and fine-tuning on windows of an entity's latest moments.

    The learning rate of base training rises for the first `warmup` share of all steps and then falls along a cosine.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # an unknown key in a line's file is a mistake
    kind: Literal["sequence"] = "sequence"
    seed: int = 7

    window: int = 60
    """Moments a decision looks back on, its own among them; those before the entity began are unknown."""
    condition_columns: tuple[str, ...] = ()
    """The settings a machine runs at: what is ordinary is learnt for each operating condition found in them."""
    max_conditions: int = 8

    patch: int = 5
    """Neighbouring moments that enter the network as one step: noise averages out, and the rest costs a fifth."""
    channels: int = 48
    blocks: int = 3
    """Residual blocks; their convolutions look 2, 4, 8, … steps back."""
    members: int = 8
    """Ensemble members that share the convolutions and differ in their heads."""
    head_width: int = 32

    dropout: float = 0.1
    shift: float = 0.25
    """Standard deviations of the chance offset that each column of a window gets in training."""
    epochs: int = 5
    patience: int = 3
    """Epochs without a better validation loss after which training, or a site's fine-tuning, stops."""
    batch_rows: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warmup: float = 0.1
    max_gradient_norm: float = 1.0

    fine_tune_epochs: int = 4
    fine_tune_steps: int = 20
    """Steps of one fine-tuning epoch, the same for every site, so that no site's result depends on another's size."""
    fine_tune_batch_rows: int = 128
    """Rows of each site in one fine-tuning step."""
    fine_tune_learning_rate: float = 1e-4
    fine_tune_pull: float = 20.0
    """How strongly fine-tuned weights are pulled back to the base model's: the share of their distance, times the
    learning rate, that each step takes away (L2-SP, Li, Grandvalet & Davoine, 2018, decoupled as in AdamW)."""
    fine_tune_min_rows: int = 500
    """Training rows below which a site keeps the base model."""
    fine_tune_min_gain: float = 0.02
    """Share of the base model's validation loss that fine-tuning must take away, or the site keeps the base model."""

    calibration_prior_rows: int = 5000
    """Rows that the pooled calibration counts for when a site's own is fitted."""

    baseline_iterations: int = 100
