"""Scores completions with inspect-ai: it loads the task from the exported file, and its model mockllm gives the
completions.
"""

import json
import math
import sys
from pathlib import Path

from inspect_ai import eval as evaluate
from inspect_ai.model import ModelOutput, ModelUsage, get_model

asked = json.load(sys.stdin)
usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)  # counting them would need a file of the network
outputs = []
for text, cut in zip(asked["completions"], asked["truncated"], strict=True):
    output = ModelOutput.from_content("mockllm/model", text, stop_reason="max_tokens" if cut else "stop")
    output.usage = usage
    outputs.append(output)
(log,) = evaluate(
    f"{Path(asked['folder']).name}/kgym_{asked['name']}.py",  # inspect-ai takes no absolute path in Python 3.11
    model=get_model("mockllm/model", custom_outputs=outputs),
    max_connections=1,
    max_samples=1,
    log_dir=asked["cache"],
    display="none",
)
samples = sorted(log.samples, key=lambda sample: sample.metadata["index"])
scores = [sample.scores["kgym_verdict"] for sample in samples]
found = {
    "status": log.status,
    "prompts": [[{"role": message.role, "content": message.content} for message in sample.input] for sample in samples],
    "scores": [None if math.isnan(score.value) else score.value for score in scores],
    "explanations": [score.explanation for score in scores],
    "max_tokens": log.plan.config.max_tokens,
    "mean": log.results.scores[0].metrics["mean"].value,
}
print(json.dumps(found))
