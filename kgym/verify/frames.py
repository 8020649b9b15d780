"""Messages between the pool and its workers: a length of four bytes, then JSON.

JSON and not pickle: a worker has read hostile text, and its messages must not be able to run code.
"""

import json
import socket
import struct
import time
from typing import Any

_LENGTH = struct.Struct("!I")
LONGEST = (1 << 32) - 1
"""Bytes of the longest message that four bytes of length allow."""


class FrameTooLong(ValueError):
    """A message is longer than the receiver accepts, or than four bytes of length allow."""


def encoded(message: Any) -> bytes:
    """Return one message as bytes. Raises FrameTooLong if it is longer than `LONGEST`."""
    body = json.dumps(message, separators=(",", ":")).encode()  # ASCII: lone surrogates are sent as escapes
    if len(body) > LONGEST:
        raise FrameTooLong(f"a message of {len(body)} bytes")
    return _LENGTH.pack(len(body)) + body


def send_frame(sock: socket.socket, message: Any) -> None:
    """Send one message. Raises OSError if the other side has ended, and FrameTooLong."""
    sock.sendall(encoded(message))


def receive_frame(sock: socket.socket, timeout_s: float | None = None, longest: int = LONGEST) -> Any:
    """Receive one message.

    Raises TimeoutError after `timeout_s` in total, EOFError if the other side has ended, and FrameTooLong for more than
    `longest` bytes.
    """
    until = None if timeout_s is None else time.monotonic() + timeout_s
    (length,) = _LENGTH.unpack(receive_exactly(sock, _LENGTH.size, until))
    if length > longest:
        raise FrameTooLong(f"a message of {length} bytes")
    return json.loads(receive_exactly(sock, length, until))


def receive_exactly(sock: socket.socket, size: int, until: float | None = None) -> bytes:
    """Receive `size` bytes before the monotonic time `until`.

    Bytes that have arrived are read before the clock is checked: a caller that was stopped for a while (SIGSTOP, a busy
    machine) still gets what arrived meanwhile, and does not treat it as late.
    """
    parts = bytearray()
    while len(parts) < size:
        left_s = None if until is None else max(0.0, until - time.monotonic())
        sock.settimeout(left_s)  # 0: take what has arrived, or raise
        try:
            part = sock.recv(min(size - len(parts), 1 << 20))
        except BlockingIOError:
            raise TimeoutError from None
        except TimeoutError:
            continue  # the clock has passed `until`; look once more without waiting
        except ConnectionError as error:
            raise EOFError from error
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)
