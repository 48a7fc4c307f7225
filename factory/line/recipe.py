"""The recipes: every number that decides what a training run produces. One for tables, one for sequences."""

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from factory.errors import LineError

Rung = Literal["linear", "trees", "network", "tuned", "blend"]
BASELINE: Literal["trees"] = "trees"
"""The rung that a network must beat to be worth its cost; it is fitted whether or not a site may serve it."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Schedule of base training and fine-tuning, the same for every architecture.

    Base training is as long as `epochs` says, and its learning rate rises for the first `warmup` share of all steps and
    then falls along a cosine. Or, with `max_steps`, it is as long as the validation rows ask: the rate stays after
    rising for one round of `validate_every` steps, and what is judged and kept is a running average of the weights,
    which needs no end to be known beforehand (Polyak & Juditsky, 1992).
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # an unknown key in a line's file is a mistake
    seed: int = 7
    """What every random choice of training begins with; the same seed gives the same model."""

    dropout: float = 0.0
    """The share of a layer's outputs that is left out by chance in each training step."""
    epochs: int = 8
    """How often base training goes through all rows at most."""
    max_steps: int | None = None
    """Steps of base training at most, however many rows there are; said, it takes the place of `epochs` and `warmup`,
    and `patience` counts rounds of `validate_every` steps."""
    validate_every: int = 100
    """Steps between two looks at the validation rows, where `max_steps` is said."""
    weight_average: float = 0.99
    """How slowly the running average of the weights forgets, where `max_steps` is said: its share a step."""
    patience: int = 3
    """Epochs without a better validation loss after which training, or a site's fine-tuning, stops."""
    batch_rows: int = 256
    """Rows in one step of base training."""
    learning_rate: float = 6e-3
    """The largest learning rate of base training."""
    weight_decay: float = 3e-4
    """How strongly AdamW pulls weights towards 0."""
    second_moment: float = 0.999
    """How slowly AdamW forgets the size of gradients, its beta 2."""
    warmup: float = 0.05
    """The share of all steps over which the learning rate rises."""
    max_gradient_norm: float = 1.0
    """Gradients longer than this are cut to it."""

    fine_tune_epochs: int = 4
    """Epochs of fine-tuning at most."""
    fine_tune_steps: int = 15
    """Steps of one fine-tuning epoch, the same for every site, so that no site's result depends on another's size."""
    fine_tune_batch_rows: int = 128
    """Rows of each site in one fine-tuning step."""
    fine_tune_learning_rate: float = 1e-3
    """The learning rate of fine-tuning."""
    fine_tune_pull: float = 20.0
    """How strongly fine-tuned weights are pulled back to the base model's: the share of their distance, times the
    learning rate, that each step takes away (L2-SP, Li, Grandvalet & Davoine, 2018, decoupled as in AdamW)."""
    fine_tune_min_rows: int = 500
    """Training rows below which a site keeps the base model."""
    fine_tune_min_gain: float = 0.002
    """Share of the base model's validation loss that fine-tuning must take away, or the site keeps the base model."""

    calibration_prior_rows: int = 5000
    """How many rows the pooled calibration weighs as when a site's own is fitted."""

    baseline_iterations: int = 300
    """Boosting rounds of the trees at most; they end when the validation loss stops falling."""
    rungs: tuple[Rung, ...] = get_args(Rung)
    """What a site may serve, of which its validation rows choose: a linear model, boosted trees, the network of all
    sites, that network fine-tuned on the site's rows, and a blend of these. The trees are fitted in any case, as the
    baseline. Of a sequence, linear model and trees see each feature's last value, mean and rise."""

    def __post_init__(self) -> None:
        """Raise LineError on a schedule that has no step, and on rungs of which no model comes."""
        self._require_one_or_more("max_steps", "validate_every")
        if not set(self.rungs) & {"linear", "trees", "network"}:
            raise LineError(
                f"recipe: rungs {list(self.rungs)} have no model to begin with; name linear, trees or network",
                at=("rungs",),
            )
        if "tuned" in self.rungs and "network" not in self.rungs:
            raise LineError("recipe: rungs name tuned, which is made from the network; name it, too", at=("rungs",))
        if not 0 <= self.weight_average < 1:
            raise LineError(
                f"recipe: weight_average {self.weight_average:g} must be 0 or more and below 1", at=("weight_average",)
            )

    @property
    def steps(self) -> int | None:
        """How many moments a model of this recipe sees; None for single rows."""
        return None

    @property
    def round_steps(self) -> int | None:
        """The steps of base training between two looks at the validation rows; None where these are epochs."""
        return None if self.max_steps is None else min(self.validate_every, self.max_steps)

    def training_length(self, rounds: int) -> str:
        """Return in words how long base training is after so many looks at the validation rows."""
        count, unit = (rounds, "epoch") if self.round_steps is None else (rounds * self.round_steps, "step")
        return f"{count:,} {unit}{'' if count == 1 else 's'}"

    def _require_one_or_more(self, *names: str) -> None:
        for name in names:
            if (number := getattr(self, name)) is not None and number < 1:
                raise LineError(f"recipe: {name} {number} must be 1 or more", at=(name,))


@dataclass(frozen=True, kw_only=True)
class TableRecipe(Recipe):
    """TabM with piecewise-linear embeddings: one row in, one answer out (factory/training/table_network.py)."""

    kind: Literal["table"] = "table"
    """A network for tables: one row in, one answer out."""
    members: int = 16
    """Ensemble members that share their weight matrices."""
    width: int = 96
    """Units of a hidden layer."""
    depth: int = 2
    """Hidden layers."""
    bins: int = 24
    """At most so many pieces in a feature's piecewise-linear encoding."""
    embedding: int = 8
    """Numbers a feature is embedded in."""
    category_columns: tuple[str, ...] = ()
    """Features that hold the number of a category, 0, 1, 2, …: each gets a learned vector, and those that few training
    rows have, or none, share one."""


@dataclass(frozen=True, kw_only=True)
class SequenceRecipe(Recipe):
    """A temporal convolution over the last moments of one thing's life (factory/training/sequence_network.py)."""

    kind: Literal["sequence"] = "sequence"
    """A network for sequences: the last moments of one thing in, one answer out."""
    window: int = 60
    """Moments a decision looks back on, including its own; those before the entity began are unknown."""
    condition_columns: tuple[str, ...] = ()
    """The settings a machine runs at: what is ordinary is learnt for each operating condition found in them."""
    max_conditions: int = 8
    """At most so many operating conditions."""

    patch: int = 5
    """Neighbouring moments that enter the network as one step: noise averages out, and what follows costs a fifth."""
    channels: int = 48
    """Channels of each convolution."""
    blocks: int = 3
    """Residual blocks; their convolutions look 2, 4, 8, … steps back."""
    members: int = 8
    """Ensemble members that share the convolutions and differ in their heads."""
    head_width: int = 32
    """Units of each head's hidden layer."""

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
        super().__post_init__()
        self._require_one_or_more("window", "patch")

    @property
    def steps(self) -> int | None:
        """The window."""
        return self.window
