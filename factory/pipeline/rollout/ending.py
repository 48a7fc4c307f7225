"""Gives a rollout up: what it released stays, and the sites that wait for their turn are let go."""

from dataclasses import replace

from factory.errors import RolloutRefused
from factory.pipeline.rollout.sites import LinePlace
from factory.pipeline.rollout.state import RolloutStore


def end(place: LinePlace, store: RolloutStore, *, by: str, reason: str) -> list[str]:
    """Return the sites that were let go. Raises RolloutRefused where there is none, or a wave is half reverted."""
    with store.alone(place.line):
        rollout, waiting = store.read(place.line), place.waiting()
        if rollout and any(wave.step == "halting" for wave in rollout.waves):
            raise RolloutRefused(f"line {place.line}: a wave is being reverted; let that end first: {rollout.command}")
        if not waiting and (rollout is None or rollout.state not in ("under way", "halted")):
            raise RolloutRefused(f"line {place.line}: no rollout is under way or halted, so there is none to end")
        place.give_turn(waiting, by=by, reason=reason)
        if rollout:
            store.write(replace(rollout, state="ended"))
    return waiting
