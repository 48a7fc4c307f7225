"""Bodies that are long: how much memory the unfinished ones take together, and who may send one."""

from collections.abc import Callable, Mapping

from factory.gateway.limits import Limits
from factory.gateway.refusal import RequestRefused, come_again


class BodyMemory:
    """Memory that the unfinished long bodies of all clients share."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._taken = 0

    def take(self, count: int) -> None:
        """Take so many bytes; raises RequestRefused (503) where there are not so many left."""
        if self._taken + count > self._limit:
            raise come_again(503, f"bodies of {self._taken} bytes are under way, the limit is {self._limit}", 1)
        self._taken += count

    def give_back(self, count: int) -> None:
        """Give back what was taken."""
        self._taken -= count


class LongBody:
    """What one client's unfinished body takes of the shared memory, if it is a long one."""

    def __init__(self, memory: BodyMemory, admit: Callable[[Mapping[bytes, bytes]], None]) -> None:
        """`admit` raises RequestRefused where the headers give no right to a long body."""
        self._memory = memory
        self._admit = admit
        self._taken = 0

    def grow(self, size: int, headers: Mapping[bytes, bytes]) -> None:
        """Take memory for a body of this size until now; raises RequestRefused if there is none."""
        if not self._taken:
            self._admit(headers)
        self._memory.take(size - self._taken)
        self._taken = size

    def give_back(self) -> None:
        """Give back all that was taken: the body is whole, or it will never be."""
        if self._taken:
            self._memory.give_back(self._taken)
            self._taken = 0


def too_long(size: str, limits: Limits) -> RequestRefused:
    """Return the refusal (413) of a body of `size`, as a person reads it."""
    return RequestRefused(
        413, f"the body has {size}; the limit is {limits.max_body_bytes} bytes: send fewer rows at once"
    )


def too_late(limits: Limits) -> RequestRefused:
    """Return the refusal (408) of a request that is not whole in time."""
    return RequestRefused(408, f"the request was not whole after {limits.request_s:g} s")
