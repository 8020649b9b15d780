"""The environment `mcp`: problems of another environment, and the tools of a server of the Model Context Protocol.

    kgym train --env mcp --set 'env.command=["python", "server.py"]' env.problems=math500

The server is a program of the user. It is started once for all episodes, outside the sandbox. kgym communicates with it
over its standard input and output with the official SDK, in an event loop in a thread. A server that ends is started
again at the next call.
"""

import asyncio
import concurrent.futures
import contextlib
import importlib.util
import json
import os
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pydantic import Field

from kgym.envs.toolcalls import Tool, ToolError
from kgym.envs.tooltask import ToolOptions, ToolTask
from kgym.errors import ConfigError, MissingData, UnknownName
from kgym.neutral import error_line
from kgym.types import ProblemSource

ENDING_S = 5.0
"""Time for a server to end by itself."""
MOST_PAGES = 100
"""Most pages of a list of tools."""


class ServerOptions(ToolOptions):
    """Options for the problems, and for the server that has the tools."""

    problems: str = Field("arithmetic", min_length=1)
    """Name of the environment with the problems; its verifier judges the last turn."""
    command: tuple[str, ...] = ()
    """Command that starts the server: `'env.command=["python", "server.py"]'`. It runs with your rights, outside of
    the sandbox.
    """
    tools: tuple[str, ...] = ()
    """Names of the tools to offer; by default all tools of the server."""
    timeout_s: float = Field(30.0, gt=0)
    """Longest time for one call; a longer call is an error, which is told to the policy."""
    start_s: float = Field(30.0, gt=0)
    """Longest time for the server to start and to list its tools."""


class McpServer(ToolTask):
    """See `kgym.envs.tooltask.ToolTask`."""

    Options = ServerOptions
    slow = True
    options: ServerOptions

    def __init__(self, options: ServerOptions) -> None:
        """Keep the options; the server is started for the first prompt."""
        super().__init__(options)
        self._connection: Connection | None = None
        self._lock = threading.Lock()

    @staticmethod
    def missing() -> str:
        """Return the missing package, with the command that installs it; "" if nothing is missing."""
        return "" if importlib.util.find_spec("mcp") else "the package mcp is not installed: pip install 'kgym[mcp]'"

    def source(self, split: str) -> ProblemSource:
        """Return the problems of the other environment. Raises MissingData without a command, ConfigError without
        the SDK.
        """
        if not self.options.command:
            raise MissingData(
                "this environment needs the command that starts its server, as in "
                """kgym train --env mcp --set 'env.command=["python", "server.py"]'"""
            )
        if why := self.missing():
            raise ConfigError(why)
        return super().source(split)

    def tools(self) -> Sequence[Tool]:
        """Return the tools of the server. Raises UnknownName for a name that it does not have."""
        listed = {tool.name: tool for tool in self._connected().tools}
        for name in self.options.tools:
            if name not in listed:
                raise UnknownName.near("tool of the server", name, listed)
        names = self.options.tools or tuple(listed)
        return [self._tool(listed[name]) for name in names]

    def _tool(self, listed: Any) -> Tool:
        schema: dict[str, Any] = listed.input_schema
        known = schema.get("properties", {}).items()
        texts = [name for name, kind in known if isinstance(kind, Mapping) and kind.get("type") == "string"]
        main = texts[0] if len(texts) == 1 == len(known) else None
        return Tool(
            listed.name,
            " ".join((listed.description or listed.name).split()),
            partial(self._call, listed.name),
            schema,
            main,
        )

    def _connected(self) -> "Connection":
        with self._lock:
            if self._connection is None or not self._connection.alive:
                self._connection = Connection(self.options)
            return self._connection

    def _call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Call a tool. Raises ToolError if the server refuses the call or it takes too long, ConnectionError if the
        server has ended.
        """
        return self._connected().call(name, arguments, self.options.timeout_s)


class _Session:
    """The state that the thread of a connection shares with its callers."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.stop = asyncio.Event()
        self.started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self.client: Any = None
        self.tools: list[Any] = []


class Connection:
    """A running server and its tools. Several threads may call it."""

    def __init__(self, options: ServerOptions) -> None:
        """Raises ConfigError if the command does not start a server in time."""
        session = self._session = _Session()
        self._thread = threading.Thread(target=_hold, args=(session, options.command), name="kgym-mcp", daemon=True)
        self._thread.start()
        self.close = weakref.finalize(self, _end, session, self._thread)
        """Ends the server. Called automatically when this object is collected or the process ends."""
        try:
            session.started.result(options.start_s)
        except Exception as error:  # of the SDK or caused by the server
            self.close()
            why = (
                f"it did not respond within env.start_s={options.start_s:g} s"
                if isinstance(error, TimeoutError)
                else error_line(error)
            )
            raise ConfigError(f"env.command={json.dumps(options.command)} starts no MCP server: {why}") from error

    @property
    def tools(self) -> Sequence[Any]:
        """The tools as the server describes them."""
        return self._session.tools

    @property
    def alive(self) -> bool:
        """Whether the server has not ended."""
        return self._thread.is_alive() and self._session.client is not None

    def call(self, name: str, arguments: Mapping[str, Any], timeout_s: float) -> str:
        """See `McpServer._call`."""
        from mcp.shared.exceptions import MCPError  # noqa: PLC0415  (an extra)
        from mcp.types import CONNECTION_CLOSED  # noqa: PLC0415

        session = self._session
        answer = asyncio.run_coroutine_threadsafe(session.client.call_tool(name, dict(arguments)), session.loop)
        try:
            result = answer.result(timeout_s)
        except TimeoutError:
            answer.cancel()
            raise ToolError(f"{name} did not respond within {timeout_s:g} s") from None
        except MCPError as error:
            if error.error.code != CONNECTION_CLOSED:
                raise ToolError(str(error)) from None
            session.client = None
            raise ConnectionError(f"the server ended during a call of {name}: {error}") from error
        text = "\n".join(getattr(block, "text", f"({block.type})") for block in result.content)
        if result.is_error:
            raise ToolError(text)
        return text


def _hold(session: _Session, command: Sequence[str]) -> None:
    """Hold the connection until it has to end; this is the thread's function."""
    try:
        session.loop.run_until_complete(_serve(session, command))
    except BaseException as error:
        if not session.started.done():  # otherwise the next call finds it closed
            session.started.set_exception(error if isinstance(error, Exception) else RuntimeError(error_line(error)))
    finally:
        session.client = None
        session.loop.close()


async def _serve(session: _Session, command: Sequence[str]) -> None:
    from mcp.client import Client  # noqa: PLC0415  (an extra)
    from mcp.client.stdio import StdioServerParameters, stdio_client  # noqa: PLC0415

    parameters = StdioServerParameters(command=command[0], args=list(command[1:]), env=dict(os.environ))
    async with Client(stdio_client(parameters, errlog=sys.__stderr__ or sys.stderr)) as client:
        page = await client.list_tools()
        session.tools += page.tools
        for _ in range(MOST_PAGES):
            if not page.next_cursor:
                break
            page = await client.list_tools(cursor=page.next_cursor)
            session.tools += page.tools
        session.client = client
        session.started.set_result(None)
        await session.stop.wait()


def _end(session: _Session, thread: threading.Thread) -> None:
    """End the thread. The garbage collector may call this in any thread, also in that one."""
    with contextlib.suppress(RuntimeError):  # the loop is closed
        if session.started.done():
            session.loop.call_soon_threadsafe(session.stop.set)
        else:
            session.loop.call_soon_threadsafe(_cancel_all, session.loop)
    if thread is not threading.current_thread():
        thread.join(ENDING_S)


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()
