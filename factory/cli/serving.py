"""A gateway and what it builds features on, put together; run as a module it is one worker of several.

The gateway itself knows nothing of the lines' code: here it gets the snapshots of its own model repository.
"""

import sys
from pathlib import Path

from factory.features.online.serving import ServedSnapshots
from factory.gateway.http.asgi import AsgiApplication
from factory.gateway.processes.application import application as gateway_application
from factory.gateway.processes.server import serve as serve_gateway
from factory.gateway.processes.worker import work
from factory.gateway.settings import Settings


def serve(models: Path, public_key: Path, settings: Settings) -> None:
    """Serve every released model in this process; see `factory.gateway.processes.server.serve`."""
    serve_gateway(models, public_key, settings, ServedSnapshots(models, public_key, settings.project))


def application(models: Path, public_key: Path, settings: Settings) -> AsgiApplication:
    """Return the gateway for an ASGI server; see `factory.gateway.processes.application.application`."""
    return gateway_application(models, public_key, settings, ServedSnapshots(models, public_key, settings.project))


if __name__ == "__main__":
    sys.exit(work(lambda config: ServedSnapshots(config.models, config.public_key, config.settings.project)))
