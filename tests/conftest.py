"""What holds for every test: one thread, no hub, and no connection that leaves this machine."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")

import pytest

LOCAL = ("127.0.0.1", "::1", "localhost", "0.0.0.0", "")  # noqa: S104 - addresses of this machine
"""Hosts that a test may talk to."""


Command = Callable[..., tuple[int, str, str]]
"""What runs the command: arguments to exit code, standard output and standard error."""


class NetworkUsedError(AssertionError):
    """A test reached for another machine."""


@pytest.fixture(autouse=True, scope="session")
def _no_network():
    """Refuse connections of this process to other machines; datagram sockets may look up a route."""
    connect = socket.socket.connect

    def local(self, address):
        inet = self.family in (socket.AF_INET, socket.AF_INET6) and self.type & socket.SOCK_STREAM
        if inet and address[0] not in LOCAL:
            raise NetworkUsedError(f"a test connects to {address[0]}:{address[1]}")
        return connect(self, address)

    socket.socket.connect = local
    yield
    socket.socket.connect = connect


@pytest.fixture
def blendsmith(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command in this process; returns (exit code, standard output, standard error)."""
    from manifests import cli

    def command(*arguments: object) -> tuple[int, str, str]:
        """Run it with these arguments."""
        monkeypatch.setattr(sys, "argv", ["blendsmith", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    return command


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a whole job's manifest; read only: tests that write take a copy."""
    from tests.manifests import sample_manifest

    return sample_manifest.write(tmp_path_factory.mktemp("full"))
