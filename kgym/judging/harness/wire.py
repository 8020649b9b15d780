"""Runs in both sandboxes of a test with statements: sends plain values between the statements and the program, as
literals of Python.

A literal is read without being run, so each side can send only data: numbers, texts, bytes, lists, tuples, sets, dicts.
"""

import ast
import socket

LONGEST = 16 << 20
LONG_BITS = 10_000
"""Whole numbers from here on are hexadecimal: Python refuses to write and read more than 4300 decimal digits."""


def encode(value: object) -> bytes:
    """Return a value as a literal. Raises TypeError for one that is not plain."""
    return _text(value).encode("utf-8", "surrogatepass")


def _text(value: object) -> str:
    kind = type(value)
    if value is None or kind in (bool, str, bytes, complex):
        return repr(value)
    if kind is int:
        return repr(value) if value.bit_length() < LONG_BITS else hex(value)  # type: ignore[attr-defined,arg-type]
    if kind is float:
        return repr(value).replace("inf", "1e999")
    if kind in (list, tuple, set, frozenset):  # a frozenset equals the set of its items
        items = [_text(item) for item in value]  # type: ignore[attr-defined]
        if kind is list:
            return f"[{', '.join(items)}]"
        if kind is tuple:
            return f"({''.join(item + ', ' for item in items)})"
        return f"{{{', '.join(items)}}}" if items else "set()"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(key)}: {_text(item)}" for key, item in value.items()) + "}"
    if isinstance(
        value, int | float | str | list | tuple | set
    ):  # a subclass, such as a namedtuple, counts as its base
        base = next(base for base in (int, float, str, list, tuple, set) if isinstance(value, base))
        return _text(base(value))  # type: ignore[arg-type]
    raise TypeError(f"a {kind.__name__} is not a plain value")


class _Numbers(ast.NodeTransformer):
    """Replaces the name `nan`, since no literal is NaN."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Replace it."""
        return ast.copy_location(ast.Constant(float("nan")), node) if node.id == "nan" else node


def send(sock: socket.socket, *values: object) -> None:
    """Send a message."""
    data = encode(list(values))
    sock.sendall(len(data).to_bytes(4, "big") + data)


def receive(sock: socket.socket) -> list[object]:
    """Return the next message. Raises EOFError if the other side is gone, ValueError for anything but a message."""
    size = int.from_bytes(_exactly(sock, 4), "big")
    if size > LONGEST:
        raise ValueError("a message is too long")
    tree = ast.parse(_exactly(sock, size).decode("utf-8", "surrogatepass"), mode="eval")
    values = ast.literal_eval(_Numbers().visit(tree))
    if type(values) is not list:
        raise ValueError("a message is a list")
    return values


def _exactly(sock: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = sock.recv(min(size - len(parts), 1 << 16))
        if not part:
            raise EOFError("the other side is gone")
        parts += part
    return bytes(parts)
