"""How far a rollout is, on the disk: `<home>/rollouts/<line>.json`, replaced whole after every step.

A rollout that dies leaves the step it was at; whoever takes it up again does that step once more, and every step may
be done twice. The file says what to do next, never what may be released: that is for the sites' signed histories.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import msgspec

from factory.errors import RolloutRefused
from factory.names import checked_name
from factory.pipeline.rollout.judging import Limits, Outcome, Reason
from factory.pipeline.rollout.plan import DEFAULT_SIZES
from factory.storage.atomic_files import replace_file
from factory.storage.locks import FileLocks, Locks

Step = Literal["to come", "judged", "released", "through", "halting", "halted"]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a person asked for; a rollout goes on by those it began with."""

    pilot: str = ""
    waves: str = DEFAULT_SIZES
    until: str = ""
    limits: Limits = field(default_factory=Limits)
    soak_min: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Wave:
    """Some sites, and how far the change is with them."""

    sites: tuple[str, ...]
    step: Step = "to come"
    before: Mapping[str, int | None] = field(default_factory=dict)
    """The release that each site served before its turn; None for none."""
    outcomes: tuple[Outcome, ...] = ()
    reasons: tuple[Reason, ...] = ()
    """Why it does not go on."""
    released_at: str = ""
    reverted: Mapping[str, str] = field(default_factory=dict)
    """What became of the sites that the wave had changed, when it halted."""


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """One change on its way through the sites of a line."""

    line: str
    by: str
    reason: str
    began: str
    terms: Terms
    waves: tuple[Wave, ...]
    state: Literal["under way", "halted", "finished", "ended"] = "under way"
    prepared: bool = False
    """Whether every site has a candidate of the change."""
    code: str = ""
    """Stands for the line's files that the candidates were made by."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """The sites whose candidate could not be made, and why."""

    @property
    def sites(self) -> tuple[str, ...]:
        """All sites, in the order of their turns."""
        return tuple(site for wave in self.waves for site in wave.sites)

    @property
    def title(self) -> str:
        """Its name in messages."""
        return f"the rollout of {self.began[:16]} by {self.by} ({self.reason})"

    @property
    def command(self) -> str:
        """The command that goes on with it."""
        terms, usual = self.terms, Terms()
        options = {
            "--pilot": (terms.pilot, usual.pilot),
            "--waves": (terms.waves, usual.waves),
            "--until": (terms.until, usual.until),
            "--max-refused": (f"{terms.limits.max_refused:g}", f"{usual.limits.max_refused:g}"),
            "--min-value-change": (
                f"{terms.limits.min_value_change_eur:g}",
                f"{usual.limits.min_value_change_eur:g}",
            ),
            "--soak": (f"{terms.soak_min:g}", f"{usual.soak_min:g}"),
        }
        words = " ".join(f"{name} {text}" for name, (text, default) in options.items() if text != default)
        return f"factory rollout {self.line} --by NAME --reason … {words}".rstrip()

    def with_wave(self, number: int, wave: Wave) -> "Rollout":
        """Return the rollout with this wave as its `number`-th, counted from 0."""
        return replace(self, waves=(*self.waves[:number], wave, *self.waves[number + 1 :]))


class RolloutStore:
    """The rollouts of a home, the newest of each line."""

    def __init__(self, root: Path, locks: Locks | None = None) -> None:
        """Take the folder, and the locks by which drivers exclude one another; by default files in the folder."""
        self.root = root
        self.locks = locks or FileLocks(root)

    def read(self, line: str) -> Rollout | None:
        """Return the line's newest rollout, or None. Raises RolloutRefused where the file cannot be read."""
        place = self._place(line, ".json")
        try:
            return msgspec.json.decode(place.read_bytes(), type=Rollout)
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError, OSError) as error:  # msgspec's own errors are ValueErrors
            raise RolloutRefused(
                f"line {line}: its rollout cannot be read: {place}: {error}. If it is damaged, move it away and begin "
                "anew: what the sites serve, and which of them wait, is in their histories"
            ) from error

    def write(self, rollout: Rollout) -> None:
        """Keep the rollout, and return once it is on the disk."""
        self.root.mkdir(parents=True, exist_ok=True)
        content = json.dumps(asdict(rollout), indent=2) + "\n"
        replace_file(self._place(rollout.line, ".json"), content.encode("ascii"), mode=0o644)

    @contextmanager
    def alone(self, line: str) -> Iterator[None]:
        """Hold the line's rollout for the block. Raises RolloutRefused if another process does."""
        with self.locks.hold_if_free(f"rollout.{checked_name(line, 'line')}") as free:
            if not free:
                raise RolloutRefused(
                    f"line {line}: another process drives its rollout just now; "
                    f"look at it with: factory rollout status {line}"
                )
            yield

    def _place(self, line: str, ending: str) -> Path:
        return self.root / f"{checked_name(line, 'line')}{ending}"
