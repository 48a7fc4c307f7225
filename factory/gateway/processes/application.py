"""The gateway as an ASGI application, for a platform that insists on its own server: `uvicorn`, `hypercorn`, `granian`.

    # asgi.py, run as: uvicorn asgi:app
    app = application(models, public_key, Settings(keys=…, records=…), snapshots)

One process is one whole gateway: its counts, its key rates, its models. For more, run replicas.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from factory.gateway.http.asgi import AsgiApplication
from factory.gateway.http.door import Door
from factory.gateway.models.feature_builders import SnapshotSource
from factory.gateway.processes.gateway_process import GatewayProcess
from factory.gateway.settings import Settings

log = logging.getLogger(__name__)


def application(
    models: Path, public_key: Path, settings: Settings, snapshots: SnapshotSource | None = None
) -> AsgiApplication:
    """Return an application that serves every released model between the server's startup and its shutdown.

    Of the settings, `host`, `port` and `tls` are read for gRPC alone, and the server has its own limits on heads and
    connections. Nothing is read or started before the server starts: what `GatewayProcess` raises ends it.
    """

    @asynccontextmanager
    async def opened() -> AsyncIterator[Door]:
        process = GatewayProcess(models, public_key, settings, snapshots)
        if process.is_open:
            log.warning("no API keys: whoever reaches this server may ask everything; `factory key add` makes one")
        async with process.running():
            yield process.door

    return AsgiApplication(opened, settings.limits)
