"""An environment package of verifiers, as its authors write them."""

from datasets import Dataset

import verifiers as vf


def load_environment(n=40, held_out=0, broken=False, endless=False):
    def rows(start, count):
        return Dataset.from_list(
            [
                {"question": f"What is {k}+{k}?", "answer": str(2 * k), "info": {"k": k}}
                for k in range(start, start + count)
            ]
        )

    parser = vf.XMLParser(["answer"], answer_field="answer")

    def right(completion, answer, info):
        if broken:
            raise KeyError("broken")
        while endless:
            pass
        return float(parser.parse_answer(completion) == answer == str(2 * info["k"]))

    rubric = vf.Rubric(funcs=[right, parser.get_format_reward_func()], weights=[1.0, 0.25], parser=parser)
    shared = {
        "dataset": rows(0, n),
        "rubric": rubric,
        "parser": parser,
        "eval_dataset": rows(1000, held_out) if held_out else None,
    }
    return vf.SingleTurnEnv(system_prompt="Answer in <answer> tags.", **shared)
