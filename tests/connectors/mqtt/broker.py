"""A real broker for tests, mosquitto in a process of its own; skipped where the machine has none."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from paho.mqtt.client import CallbackAPIVersion, Client, MQTTv5

from tests.connectors.https import certificates

USER, PASSWORD = "factory", "correct-horse"
_SERVER, _PASSWORDS = (
    shutil.which(name, path=f"/usr/sbin:{os.environ['PATH']}") for name in ("mosquitto", "mosquitto_passwd")
)
needs_broker = pytest.mark.skipif(_SERVER is None, reason="no broker on this machine: apt-get install mosquitto")


class Broker:
    """A broker that keeps its sessions in a folder, and can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port, self.tls_port = folder, _free(), _free()
        self.process: subprocess.Popen[bytes] | None = None
        files = certificates()
        folder.joinpath("passwords").touch(mode=0o700)
        subprocess.run(
            [str(_PASSWORDS), "-b", str(folder / "passwords"), USER, PASSWORD], check=True, capture_output=True
        )
        folder.joinpath("broker.conf").write_text(
            f"per_listener_settings true\npersistence true\npersistence_location {folder}/\nautosave_on_changes true\n"
            f"autosave_interval 1\nmax_queued_messages 0\nuser {'root' if os.geteuid() == 0 else ''}\n"
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\n"
            f"listener {self.tls_port} 127.0.0.1\nallow_anonymous false\npassword_file {folder}/passwords\n"
            f"cafile {files.authority}\ncertfile {files.certificate}\nkeyfile {files.key}\n"
        )

    @property
    def address(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            [str(_SERVER), "-c", str(self.folder / "broker.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(200):
            with socket.socket() as there:
                if there.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError("the broker does not start")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)

    def publish(self, *messages: tuple[str, bytes]) -> None:
        """Publish messages with QoS 1, each when the broker has the one before."""
        client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        for topic, payload in messages:
            client.publish(topic, payload, qos=1).wait_for_publish(10)
        client.disconnect()
        client.loop_stop()


@contextmanager
def running(folder: Path) -> Iterator[Broker]:
    """A broker for the block."""
    broker = Broker(folder)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


def _free() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
