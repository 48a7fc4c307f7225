"""How much of the gateway one client may take, how much is recorded, and how many models are in memory."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Sizes and times beyond which a connection is refused or closed."""

    max_body_bytes: int = 16 * 1024**2
    max_head_bytes: int = 32 * 1024
    """Of a request's line and headers, and of what follows a body in chunks."""
    known_body_bytes: int = 32 * 1024
    """A longer body is taken only from who may ask at all."""
    max_unfinished_bytes: int = 512 * 1024**2
    """Of such bodies, on all connections together, until they are whole."""
    max_connections: int = 4096
    max_pipelined: int = 64
    """Requests of one connection that wait for their answers before no more of it is read."""
    request_s: float = 30.0
    """From a request's first byte to its last; for a TLS handshake, too."""
    idle_s: float = 75.0
    """Between two requests."""
    write_s: float = 30.0
    """For a client to take what was sent to it."""
    linger_s: float = 2.0
    """How long a refused body is read and thrown away, so that the client sees why before the connection ends."""


DEFAULT_LIMITS = Limits()

DEFAULT_MAX_AWAKE = 256
"""So many models are awake at most."""


@dataclass(frozen=True, kw_only=True)
class RecordLimits:
    """How much may wait, how large a segment becomes, and how often the disk is asked."""

    queue_bytes: int = 64 * 1024**2
    segment_bytes: int = 64 * 1024**2
    folder_bytes: int = 20 * 1024**3
    """With so much in the folder nothing more is recorded until somebody takes segments away."""
    write_every_s: float = 0.02
    sync_every_s: float = 1.0
    retry_after_s: float = 1.0


DEFAULT_RECORD_LIMITS = RecordLimits()
