"""What holds for every test: one thread, no hub, and no connection that leaves this machine."""

from __future__ import annotations

import os
import socket

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")

import pytest

LOCAL = ("127.0.0.1", "::1", "localhost", "0.0.0.0", "")  # noqa: S104 - addresses of this machine
"""Hosts that a test may talk to."""


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
