"""Calls in the text of a model, in each format, and what a malformed one comes to; exact arithmetic on hostile text."""

import json
from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgym.envs.toolcalls import FORMATS, BadCall, Call, Tool, checked
from kgym_envs.tools.calculator import PARAMETERS, calculate
from kgym_envs.tools.expression import BadExpression, said, value


def tool(name="calculator", main="expression", parameters=PARAMETERS):
    return Tool(name, "about it", calculate, parameters, main)


TOOLS = (
    tool(),
    tool("python", "code", {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]}),
)
SUM = Call("calculator", {"expression": "1+2"})


@pytest.mark.parametrize(
    ("name", "text", "calls"),
    [
        ("fenced", "I add.\n```calculator\n1+2\n```", [SUM]),
        (
            "fenced",
            "```calculator\n1+2\n```\nand\n```python\nprint(1)\n```\n",
            [SUM, Call("python", {"code": "print(1)"})],
        ),
        ("fenced", "```c\nint x;\n```\nor `calculator`", []),
        ("fenced", "```\n```calculator\n1+2\n```", []),  # a block within a block of another language
        ("fenced", r"so \boxed{3}", []),
        ("fenced", '```python\r\nprint("\u2028")\r\n```', [Call("python", {"code": 'print("\u2028")'})]),
        ("fenced", "```x``` is 1.\n1. Sum:\n   ```calculator\n   1+2\n   ```", [SUM]),
        ("fenced", "```calculator\n1+2", [BadCall("the block ```calculator is not closed by a line with ```")]),
        ("hermes", '<tool_call>\n{"name": "calculator", "arguments": {"expression": "1+2"}}\n</tool_call>', [SUM]),
        (
            "hermes",
            '<tool_call>{"name": "calculator", "arguments": "{\\"expression\\": \\"1+2\\"}"}</tool_call>',
            [SUM],
        ),
        (
            "hermes",
            '<tool_call>{"name": "calculator", "arguments": {"expression": "1+2"}}</tool_call>\n' * 2,
            [SUM, SUM],
        ),
        (
            "hermes",
            "<tool_call>\n{'name': 1}\n</tool_call>",
            [BadCall("the call is not JSON: Expecting property name enclosed in double quotes")],
        ),
        ("hermes", '<tool_call>{"name": "calculator"', [BadCall("<tool_call> is not closed by </tool_call>")]),
        ("hermes", "<tool_call>[1]</tool_call>", [BadCall("the call is not a JSON object")]),
        (
            "hermes",
            "<tool_call>{}</tool_call>",
            [BadCall('a call is a JSON object with "name", a text, and "arguments", an object')],
        ),
        ("hermes", "no call", []),
        ("llama", '<|python_tag|>{"name": "calculator", "parameters": {"expression": "1+2"}}', [SUM]),
        ("llama", '{"name": "calculator", "parameters": {"expression": "1+2"}}', [SUM]),
        ("llama", '{"type": "function", "name": "calculator", "parameters": {"expression": "1+2"}}', [SUM]),
        (
            "llama",
            '<|python_tag|>{"name": "calculator", "parameters": {"expression": "1+2"}}; ' * 1
            + '{"name": "x", "parameters": {}}',
            [SUM, Call("x", {})],
        ),
        (
            "llama",
            '{"name": "calculator", "parameters": {"expression": "1+2"}};\r\n\t' * 2,
            [SUM, SUM],
        ),
        ("llama", "<|python_tag|>print(1)", [Call("python", {"code": "print(1)"})]),
        ("llama", '{"name": oops', [BadCall("the call is not JSON: '{\"name\": oops'")]),
        ("llama", 'The set {"a": 1} is fine', []),
    ],
)
def test_calls(name, text, calls):
    assert FORMATS[name].calls(text, TOOLS) == calls


@pytest.mark.parametrize("name", FORMATS)
@given(st.text(st.sampled_from('<|python_tag|>tool_call/{}[]"\\`\n:, aexpression1calculator'), max_size=80))
def test_no_text_is_more_than_malformed(name, text):
    for marked in (text, f"<tool_call>{text}</tool_call>", f"<|python_tag|>{text}", f"```calculator\n{text}\n```"):
        for call in FORMATS[name].calls(marked, TOOLS):
            assert isinstance(checked(call, TOOLS) if isinstance(call, Call) else call, Call | BadCall)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "<tool_call>" * 10_000, "```calculator\n" * 10_000])
def test_deep_and_long_texts_are_read_quickly(name, text):
    for marked in (text, f"<tool_call>{text}</tool_call>", f"<|python_tag|>{text}"):
        FORMATS[name].calls(marked, TOOLS)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (r'"\ud83d"', "half of a surrogate pair"),
        ("[" * 100 + "]" * 100, "too many lists"),
        ("[" * 5000 + "]" * 5000, "too many lists"),
        ("1" * 5000, "too many digits"),
    ],
)
def test_what_no_server_can_be_sent_is_not_called(value, reason):
    call = f'{{"name": "calculator", "arguments": {{"expression": {value}}}}}'
    (bad,) = FORMATS["hermes"].calls(f"<tool_call>{call}</tool_call>", TOOLS)
    assert isinstance(bad, BadCall)
    assert reason in bad.reason
    (bad,) = FORMATS["llama"].calls(call, TOOLS)
    assert isinstance(bad, BadCall)


def test_unknown_tools_and_missing_arguments_are_told():
    assert checked(Call("abacus", {}), TOOLS) == BadCall("there is no tool 'abacus'; the tools are calculator, python")
    assert checked(Call("calculator", {"sum": "1"}), TOOLS) == BadCall("calculator needs the argument 'expression'")


@pytest.mark.parametrize("name", FORMATS)
def test_the_instructions_name_every_tool(name):
    said = FORMATS[name].instructions(TOOLS)
    assert all(tool.name in said for tool in TOOLS)
    assert FORMATS[name].calls(said, TOOLS) == [] or name == "hermes"


def test_a_tool_with_several_arguments_takes_a_json_object_in_a_block():
    several = Tool("move", "moves", calculate, {"type": "object", "properties": {"x": {}, "y": {}}, "required": ["x"]})
    assert FORMATS["fenced"].calls('```move\n{"x": 1}\n```', [several]) == [Call("move", {"x": 1})]
    (bad,) = FORMATS["fenced"].calls("```move\nx=1\n```", [several])
    assert isinstance(bad, BadCall)
    assert json.dumps({"x": {}, "y": {}}) in FORMATS["fenced"].instructions([several])


# --- arithmetic -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1+2*3", 7),
        ("(1+2)*3", 9),
        ("2^3^2", 512),
        ("-2^2", -4),
        ("2**-1", Fraction(1, 2)),
        ("7//2 + 7%2", 4),
        ("-7//2", -4),
        ("1/3+1/6", Fraction(1, 2)),
        ("0.1+0.2", Fraction(3, 10)),
        ("5!/3!", 20),
        ("sqrt(49/4)", Fraction(7, 2)),
        ("gcd(12, 18, 27) + lcm(4,6)", 15),
        ("comb(5,2) - max(1,2,3) + abs(-4)", 11),
        ("3 × 4 − 10 ÷ 5", 10),
        ("12*34 =", 408),
        ("--1", 1),
    ],
)
def test_values(text, found):
    assert value(text) == found


@given(
    st.recursive(
        st.integers(0, 99).map(str),
        lambda part: st.tuples(part, st.sampled_from("+-*"), part).map("({0[0]}{0[1]}{0[2]})".format),
        max_leaves=12,
    )
)
def test_values_are_those_of_python(text):
    assert value(text) == eval(text)  # of digits, brackets and three signs alone


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("1+", "ends too early"),
        ("(1", "a bracket is not closed"),
        ("1 2", "is not expected after '1'"),
        ("1/0", "division by zero"),
        ("0^-1", "division by zero"),
        ("sqrt(2)", "is not a fraction"),
        ("sqrt(-1)", "not a real number"),
        ("2^0.5", "a power needs whole numbers"),
        ("9^9^9", "too many digits"),
        ("9^99999", "too many digits"),
        ("999!", "too many digits"),
        ("(-1)!", "numbers from 0 on"),
        ("comb(10^9, 5)", "too many digits"),
        ("__import__('os')", "is not arithmetic"),
        ("open(1)", "functions are abs"),
        ("x", "is not expected here"),
        ("abs(1, 2)", "abs takes 1 number, but got 2"),
        ("(" * 41 + "1" + ")" * 41, "deep"),
        ("-" * 60 + "1", "deep"),
        ("1" * 501, "at most 500"),
    ],
)
def test_what_has_no_value_says_why(text, why):
    with pytest.raises(BadExpression, match=why.replace("(", r"\(")):
        value(text)


@given(st.text(max_size=60))
def test_any_text_is_a_number_or_a_bad_expression(text):
    with suppress(BadExpression):
        assert said(value(text))


@given(st.text(st.sampled_from("0123456789.+-*/%^!(), sqrtgcdlmcombfi"), max_size=60))
def test_any_arithmetic_is_bounded(text):
    try:
        found = value(text)
    except BadExpression:
        return
    assert max(found.numerator.bit_length(), found.denominator.bit_length()) <= 4096
    assert len(said(found)) < 4000


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1/4", "1/4 = 0.25"),
        ("-1/3", "-1/3 (about -0.333333)"),
        ("2/3", "2/3 (about 0.666667)"),
        ("-7/4", "-7/4 = -1.75"),
        ("6/3", "2"),
    ],
)
def test_how_a_value_is_said(text, shown):
    assert said(value(text)) == shown
