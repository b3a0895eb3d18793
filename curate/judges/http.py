"""A small JSON client: one connection per thread, retries with back-off, bounded replies."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

from manifests.names import read_json

MAX_BODY: Final = 4 * 1024 * 1024
MAX_WAIT: Final = 60.0
_PIECE: Final = 64 * 1024
_AGAIN: Final = frozenset({408, 425, 429})
Check = Callable[[dict[str, Any]], object]
"""Raises ValueError for an answer that holds nothing to be used."""


class Fault(Exception):  # noqa: N818 - it becomes a reply or a UserError
    """A request without a usable answer: its HTTP status (0 without one), a detail, whether asking again may help."""

    def __init__(self, status: int, detail: str, *, again: bool = False, delay: float | None = None) -> None:
        super().__init__(f"status {status}: {detail}" if status else detail)
        self.status, self.detail, self.again, self.delay = status, detail, again, delay


class Gone(Fault):
    """Nothing listens at the address."""


class Client:
    """Requests to one server; may be used from many threads. `stop` ends all waiting between attempts."""

    def __init__(
        self, url: str, key: str | None, timeout: float, retries: int, backoff: float, stop: threading.Event
    ) -> None:
        parts = urlsplit(url)
        path = parts.path.rstrip("/")
        self._base = path if path.endswith("/v1") else f"{path}/v1"
        self._host, self._port = parts.hostname or "", parts.port
        self._connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        self._key = (key or "").encode()
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._timeout, self._retries, self._backoff, self.stop = timeout, retries, backoff, stop
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: set[http.client.HTTPConnection] = set()

    def get(self, path: str) -> dict[str, Any]:
        """Return the JSON object at `path`; raise Gone at once, another Fault after the last attempt."""
        return self._persist("GET", path, None)[0]

    def post(self, path: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return the JSON object that answers `payload`; raise Fault after the last attempt."""
        return self._persist("POST", path, payload)[0]

    def timed_post(self, path: str, payload: Mapping[str, Any], check: Check) -> tuple[dict[str, Any], float]:
        """Return the answer and the seconds that its successful attempt took.

        An answer for which `check` raises ValueError is malformed, and asked for again as one that is no JSON.
        """
        return self._persist("POST", path, payload, check)

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            for connection in self._open:
                connection.close()
            self._open.clear()

    def _persist(
        self, method: str, path: str, payload: Mapping[str, Any] | None, check: Check = bool
    ) -> tuple[dict[str, Any], float]:
        body = None if payload is None else json.dumps(payload).encode()
        attempt = 0
        while True:
            started = time.perf_counter()
            try:
                return self._once(method, path, body, check), time.perf_counter() - started
            except Fault as fault:
                hopeless = not fault.again or (body is None and isinstance(fault, Gone))
                if hopeless or attempt >= self._retries or self.stop.is_set():
                    raise
                delay = self._backoff * 2**attempt if fault.delay is None else fault.delay
            attempt += 1
            self.stop.wait(min(delay, MAX_WAIT))

    def _once(self, method: str, path: str, body: bytes | None, check: Check) -> dict[str, Any]:
        connection, deadline = self._connection(), time.monotonic() + self._timeout
        try:
            connection.request(method, self._base + path, body, self._headers)
            response = connection.getresponse()
            data = self._without_key(_body(response, deadline))
        except ConnectionRefusedError as error:
            self._drop()
            raise Gone(0, f"connection refused ({self._host}:{connection.port})", again=True) from error
        except TimeoutError as error:
            self._drop()
            raise Fault(0, f"no answer within {self._timeout:g} s", again=True) from error
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            raise Fault(0, f"connection lost ({type(error).__name__}: {error})", again=True) from error
        if response.will_close or response.length or not response.isclosed():  # a body that is cut off, or too long
            self._drop()
        if response.status != http.client.OK:
            raise Fault(
                response.status,
                _detail(data),
                again=response.status in _AGAIN or response.status >= 500,
                delay=retry_after(response.getheader("Retry-After"), time.time()),
            )
        if len(data) > MAX_BODY:
            raise Fault(0, f"malformed reply: more than {MAX_BODY >> 20} MiB", again=True)
        return _object(data, check)

    def _without_key(self, data: bytes) -> bytes:
        """Return a body without the key: servers repeat it in errors, and errors are kept and shown."""
        return data.replace(self._key, b"[key]") if self._key else data

    def _connection(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._connect(self._host, self._port, timeout=self._timeout)
            self._local.connection = connection
            with self._lock:
                self._open.add(connection)
        return connection

    def _drop(self) -> None:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        self._local.connection = None
        if connection is not None:
            connection.close()
            with self._lock:
                self._open.discard(connection)


def retry_after(header: str | None, now: float) -> float | None:
    """Return the seconds that a Retry-After header asks for (a number or an HTTP date), or None."""
    if header is None:
        return None
    try:
        seconds = float(header) if header.strip().isdigit() else parsedate_to_datetime(header).timestamp() - now
    except (TypeError, ValueError):
        return None
    return max(0.0, seconds)


def _body(response: http.client.HTTPResponse, deadline: float) -> bytes:
    """Return the body, at most a piece more than `MAX_BODY`; raise TimeoutError when it is not all there in time."""
    parts: list[bytes] = []
    size = 0
    while size <= MAX_BODY and (part := response.read1(_PIECE)):
        parts.append(part)
        size += len(part)
        if time.monotonic() > deadline:
            raise TimeoutError
    if response.length == 0:
        response.read()  # read1 leaves a response open that has been read to its end
    return b"".join(parts)


def _object(data: bytes, check: Check) -> dict[str, Any]:
    try:
        value = read_json(data)
    except ValueError as error:
        raise Fault(0, f"malformed reply: {_detail(data)}", again=True) from error
    if not isinstance(value, dict):
        raise Fault(0, f"malformed reply: {_detail(data)}", again=True)
    try:
        check(value)
    except ValueError as error:
        raise Fault(0, f"malformed: {error}", again=True) from error
    return value


def _detail(data: bytes) -> str:
    """Return the message of an error body, on one line, at most 200 characters."""
    text = data[:2000].decode("utf-8", "replace")
    try:
        value = read_json(data)
        inner = value.get("error", value.get("message", text)) if isinstance(value, dict) else text
        text = str(inner.get("message", inner)) if isinstance(inner, dict) else str(inner)
    except ValueError:
        pass
    return " ".join(text.split())[:200] or "empty body"
