"""How a gateway is set up; importing it loads nothing that answers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from factory.gateway.http.tls import Tls
from factory.gateway.limits import DEFAULT_LIMITS, DEFAULT_MAX_AWAKE, DEFAULT_RECORD_LIMITS, Limits, RecordLimits
from factory.model.provider import Provider

LogFormat = Literal["text", "json"]
"""Lines for people, or a JSON object each for programs."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the gateway listens, and what it takes."""

    host: str = "127.0.0.1"
    port: int = 8080
    """0 takes a free one."""
    grpc_port: int | None = None
    """None for no gRPC, 0 takes a free port."""
    refresh_every_s: float = 0.5
    keys: Path | None = None
    """The file of API keys; where there is none, everybody may ask everything."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages a browser lets ask, `*` for all."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks of the proxies that are believed who a client is."""
    access_log: bool = False
    """Whether each request is a line of the log."""
    log_format: LogFormat = "text"
    tls: Tls | None = None
    """None speaks in the clear: on the loopback, or behind a proxy that has the certificate."""
    records: Path | None = None
    """The folder that predictions are recorded in; None to record none."""
    limits: Limits = DEFAULT_LIMITS
    max_awake: int = DEFAULT_MAX_AWAKE
    """So many models at most are in memory whole; the others are woken, in milliseconds, when they are asked."""
    record_limits: RecordLimits = DEFAULT_RECORD_LIMITS
    cpu_hour_eur: float = 0.0
    """What an hour of one processor costs here; at 0 no metric says what predictions cost."""
    provider: Provider = "cpu"
    """What the models run on."""
    project: Path | None = None
    """The folder that has the lines' code, which features of business rows are built by; None: it is importable."""
