"""A server with tools for the tests of the environment `mcp`: it adds, fails, sleeps, and ends."""

import os
import time

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("arithmetic")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two
    numbers.
    """
    return a + b


@server.tool()
def shout(text: str) -> str:
    """Say it louder."""
    return text.upper()


@server.tool()
def fail(text: str) -> str:
    """Fail."""
    raise ToolError(f"no {text}")


@server.tool()
def wait(seconds: float) -> str:
    """Wait."""
    time.sleep(seconds)
    return "waited"


@server.tool()
def end(text: str) -> str:
    """End the server."""
    os._exit(3)


if __name__ == "__main__":
    server.run()
