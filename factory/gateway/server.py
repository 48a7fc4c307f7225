"""Runs the gateway: one process, one event loop, one folder of released models and one public key."""

import logging
from pathlib import Path

import uvicorn

from factory.gateway.app import Gateway
from factory.gateway.catalogue import Catalogue
from factory.gateway.telemetry import Telemetry
from factory.repository import ModelRepository
from factory.signing import public_key as loaded_public_key


def serve(models: Path, public_key: Path, host: str = "127.0.0.1", port: int = 8080) -> None:
    """Serve every released model until SIGINT or SIGTERM; requests that are under way are answered before it ends.

    Raises ModelRefused where there is no public key to check releases with.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    server(models, public_key, host, port).run()


def server(
    models: Path, public_key: Path, host: str = "127.0.0.1", port: int = 8080, *, refresh_every_s: float = 0.5
) -> uvicorn.Server:
    """Return the server, not started yet; port 0 takes a free one."""
    telemetry = Telemetry()
    catalogue = Catalogue(ModelRepository(models), loaded_public_key(public_key), telemetry)
    config = uvicorn.Config(
        Gateway(catalogue, telemetry, refresh_every_s=refresh_every_s),
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
        # Given here, or uvicorn would look for them in environment variables.
        workers=1,
        proxy_headers=False,
        forwarded_allow_ips="",
    )
    return uvicorn.Server(config)
