"""From a conversation and an answer to token ids, for those who did not sample the answer: worked solutions, preferences, reward models.

Answers that were sampled keep the ids that the engine reported (`Segment.token_ids`) and are never encoded again.
"""

from transformers import PreTrainedTokenizerBase

from kgym.errors import ConfigError
from kgym.types import Chat


def encode(
    tokenizer: PreTrainedTokenizerBase, prompt: Chat, answer: str, *, whose: str, untrusted: bool = False
) -> tuple[list[int], list[int]]:
    """Return the ids of the rendered prompt, as an engine renders it, and of the answer with its end token.

    An `untrusted` answer that spells a special token is read as characters. `whose` names the model in the message.
    Raises ConfigError if the tokenizer has no chat template or end token.
    """
    if tokenizer.chat_template is None or tokenizer.eos_token_id is None:
        raise ConfigError(f"the tokenizer of {whose} has no chat template or no end token; give it both, or use a chat model")
    messages = [message._asdict() for message in prompt]
    prompt_ids = list(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False))
    answer_ids = tokenizer.encode(answer, add_special_tokens=False, split_special_tokens=untrusted)
    return prompt_ids, [*answer_ids, tokenizer.eos_token_id]
