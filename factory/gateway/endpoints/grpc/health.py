"""`grpc.health.v1.Health`: whether the gateway answers, for Kubernetes' probes and load balancers, without a key.

The server (service name empty) and `inference.GRPCInferenceService` are SERVING while any model answers, and
NOT_SERVING where none does or the gateway is about to end. A model has `ModelReady` of the inference service.
"""

import asyncio
from collections.abc import Awaitable, Callable

from factory.gateway.endpoints.grpc.messages import SERVICE

SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3
_LOOK_EVERY_S = 0.5


class Health:
    """The states of the services, as they are now."""

    def __init__(self, ready: Callable[[], bool]) -> None:
        self._ready = ready
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Say from now on that nothing is served; whoever watches hears it at once, and is let go."""
        self._ending.set()

    def state(self, service: str) -> int:
        """Return the state of a service by its name."""
        if service not in ("", SERVICE):
            return SERVICE_UNKNOWN
        return SERVING if self._ready() and not self._ending.is_set() else NOT_SERVING

    async def watch(self, service: str, tell: Callable[[int], Awaitable[None]]) -> None:
        """Send the state now and whenever it changes, until the client or the gateway goes."""
        told = None
        while told is None or not self._ending.is_set():
            if (state := self.state(service)) != told:
                told = state
                await tell(state)
            try:
                await asyncio.wait_for(self._ending.wait(), _LOOK_EVERY_S)
            except TimeoutError:
                continue
        if (state := self.state(service)) != told:
            await tell(state)
