"""An environment package of verifiers that replies or has tools, as its authors write them."""

import random

from datasets import Dataset

import verifiers as vf


class Guess(vf.MultiTurnEnv):
    """A number from 1 to 99 is to be guessed; the environment says whether it is higher or lower."""

    def __init__(self, kind, **kwargs):
        super().__init__(max_turns=4, **kwargs)
        self.kind = kind

    async def setup_state(self, state):
        state["secret"] = int(state["answer"])

    async def env_response(self, messages, state, **kwargs):
        text = messages[-1].content
        if self.kind == "broken":
            raise KeyError("broken")
        if self.kind == "random":
            return [vf.UserMessage(content=str(random.random()))]
        if not text.strip().isdigit():
            return [vf.UserMessage(content="That is not a number.")]
        if int(text) == state["secret"]:
            state["final_env_response"] = [vf.UserMessage(content="You found it.")]
            return state["final_env_response"]
        state["higher"] = state.get("higher", 0) + (int(text) < state["secret"])
        said = "higher" if int(text) < state["secret"] else "lower"
        return [vf.UserMessage(content=f"It is {said}."), vf.UserMessage(content="Guess again.")]

    async def get_prompt_messages(self, state):
        found = await super().get_prompt_messages(state)
        if self.kind == "rewritten" and state["trajectory"]:
            return [vf.UserMessage(content="Something else."), *found[1:]]
        return found


def square(x: int) -> int:
    """Square a number.

    Args:
        x: the number
    """
    return x * x


def found_it(completion, answer):
    said = [message.content for message in completion if message.role == "assistant"]
    return float(any(text.strip() == answer for text in said))


def few_turns(state):
    return 1.0 / len(state["trajectory"])


def right(completion, answer):
    return float(completion[-1].content.strip().endswith(answer))


def load_environment(kind="guess"):
    if kind == "tools":
        rows = [{"question": f"What is {k} times {k}?", "answer": str(k * k)} for k in range(100, 140)]
        return vf.ToolEnv(
            tools=[square], dataset=Dataset.from_list(rows), rubric=vf.Rubric(funcs=[right]), system_prompt="Be exact."
        )
    rows = [{"question": "Guess my number, from 1 to 99.", "answer": str(1 + k)} for k in range(99)]
    rubric = vf.Rubric(funcs=[found_it, few_turns], weights=[1.0, 1.0])
    return Guess(kind, dataset=Dataset.from_list(rows), rubric=rubric)
