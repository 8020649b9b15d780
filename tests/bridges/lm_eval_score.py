"""Scores completions with lm-evaluation-harness: it loads the task, and a model gives the completions that it is to."""

import json
import math
import sys

import lm_eval
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager

asked = json.load(sys.stdin)


class Given(LM):
    """Gives the completion of each document."""

    def generate_until(self, requests, **_):
        self.options = [request.args[1] for request in requests]
        return [asked["completions"][request.doc["index"]] for request in requests]

    def loglikelihood(self, requests, **_):
        raise NotImplementedError

    loglikelihood_rolling = loglikelihood

    def apply_chat_template(self, chat, add_generation_prompt=True):
        return json.dumps(chat)

    @property
    def tokenizer_name(self):
        return "given"

    def chat_template(self, chat_template=False):
        return "given"


model = Given()
task = f"kgym_{asked['name']}_{asked['split']}"
manager = TaskManager(include_path=asked["folder"])
results = lm_eval.simple_evaluate(
    model, tasks=[task], task_manager=manager, apply_chat_template=True, log_samples=True, bootstrap_iters=0
)
samples = sorted(results["samples"][task], key=lambda sample: sample["doc"]["index"])
found = {
    "prompts": [json.loads(sample["arguments"][0][0]) for sample in samples],
    "scores": [None if math.isnan(sample["score"]) else sample["score"] for sample in samples],
    "options": model.options[0],
    "mean": results["results"][task]["score,none"],
    "unscored": results["results"][task]["unscored,none"],
    "no_answer": results["results"][task]["no_answer,none"],
}
print(json.dumps(found))
