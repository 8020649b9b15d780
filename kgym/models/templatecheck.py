"""Render a chat template in a process that can be killed; run as a script, so that a hostile template costs seconds,
not hours.

Standard input:  {"template": "...", "values": {...}, "conversations": [[messages, add_generation_prompt], ...]}
Standard output: {"over": "" or which limit it broke, "variables": ["enable_thinking", ...]}

A conversation that the template refuses is ignored here. This file imports nothing of kgym.
"""

import contextlib
import json
import sys
from datetime import datetime
from typing import Any

import jinja2
from jinja2 import meta, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

CPU_S = 5
MEMORY_BYTES = 1 << 30
OUTPUT_CHARACTERS = 1_000_000


class _Generation(Extension):
    """`{% generation %}` marks what an assistant has generated; here it only renders its content."""

    tags = {"generation"}  # noqa: RUF012  (as jinja2 declares it)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Return the content."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _environment() -> ImmutableSandboxedEnvironment:
    """Return the environment in which `transformers` renders a template."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = lambda x, ensure_ascii=False, **how: json.dumps(x, ensure_ascii=ensure_ascii, **how)
    environment.globals |= {
        "raise_exception": _raise_exception,
        "strftime_now": lambda how: datetime.now().strftime(how),
    }
    return environment


def _limit() -> None:
    try:
        import resource  # noqa: PLC0415  (not on Windows, where the caller's clock alone bounds it)
    except ImportError:
        return
    for what, limit in ((resource.RLIMIT_CPU, CPU_S), (resource.RLIMIT_AS, MEMORY_BYTES)):
        with contextlib.suppress(ValueError, OSError):  # the limit is already lower
            resource.setrlimit(what, (limit, limit))


def _render(template: jinja2.Template, messages: Any, add_generation_prompt: bool, values: dict[str, Any]) -> str:
    parts, n = [], 0
    for part in template.generate(
        messages=messages, tools=None, documents=None, add_generation_prompt=add_generation_prompt, **values
    ):
        n += len(part)
        if n > OUTPUT_CHARACTERS:
            raise MemoryError(f"its text has more than {OUTPUT_CHARACTERS:,} characters")
        parts.append(part)
    return "".join(parts)


def _answer(asked: dict[str, Any]) -> dict[str, Any]:
    variables: list[str] = []
    try:
        environment = _environment()
        variables = sorted(meta.find_undeclared_variables(environment.parse(asked["template"])))
        template = environment.from_string(asked["template"])
        for messages, add_generation_prompt in asked["conversations"]:
            with contextlib.suppress(jinja2.TemplateError, TypeError, ValueError, KeyError, AttributeError):
                _render(template, messages, add_generation_prompt, asked["values"])
    except MemoryError as error:
        return {"over": str(error) or f"it needs more than {MEMORY_BYTES >> 30} GiB", "variables": variables}
    except Exception:  # the caller will see other errors when it renders the template
        return {"over": "", "variables": variables}
    return {"over": "", "variables": variables}


if __name__ == "__main__":
    received = json.load(sys.stdin)
    _limit()
    json.dump(_answer(received), sys.stdout)
