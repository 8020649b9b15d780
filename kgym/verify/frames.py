"""Messages between the pool and its workers: a length of four bytes, then JSON.

JSON and not pickle: a worker has read hostile text, and what it sends home must not be able to run anything.
"""

import json
import socket
import struct
import time
from typing import Any

_LENGTH = struct.Struct("!I")


def send_frame(sock: socket.socket, message: Any) -> None:
    """Send one message. Raises OSError if nobody is there."""
    body = json.dumps(message, separators=(",", ":")).encode()  # ASCII: lone surrogates travel as escapes
    sock.sendall(_LENGTH.pack(len(body)) + body)


def receive_frame(sock: socket.socket, timeout_s: float | None = None) -> Any:
    """Receive one message. Raises TimeoutError after `timeout_s` in all, EOFError if the other side is gone."""
    until = None if timeout_s is None else time.monotonic() + timeout_s
    (length,) = _LENGTH.unpack(receive_exactly(sock, _LENGTH.size, until))
    return json.loads(receive_exactly(sock, length, until))


def receive_exactly(sock: socket.socket, size: int, until: float | None = None) -> bytes:
    """Receive `size` bytes before the monotonic time `until`."""
    parts = bytearray()
    while len(parts) < size:
        if until is None:
            sock.settimeout(None)
        else:
            remaining = until - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            sock.settimeout(remaining)
        try:
            part = sock.recv(min(size - len(parts), 1 << 20))
        except ConnectionError as error:
            raise EOFError from error
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)
