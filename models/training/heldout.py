"""The held-out text and how well the model predicts it."""

import torch

from bpe import Tokenizer
from corpus import HELDOUT_CHARACTERS, HELDOUT_SEED, write_stories
from llama import LlamaForCausalLM, next_token_loss

TOKENS = 20_000
WINDOW = 256
METHOD = (
    "heldout.txt split at <|end_of_text|> lines; each story encoded BOS..EOS; concatenated, "
    f"first {TOKENS} ids; {TOKENS // WINDOW} separate windows of {WINDOW}; "
    f"tokens 1..{WINDOW - 1} of each scored"
)
_BATCH = 8


def heldout_ids(tokenizer: Tokenizer) -> list[int]:
    """The first ids of the held-out stories: of another seed than the training text."""
    ids: list[int] = []
    for story in write_stories(HELDOUT_SEED, HELDOUT_CHARACTERS):
        ids += tokenizer.encode_story(story)
        if len(ids) >= TOKENS:
            break
    return ids[:TOKENS]


@torch.no_grad()
def heldout_loss(model: LlamaForCausalLM, ids: list[int]) -> float:
    """Mean cross entropy per scored token, in nats."""
    model.eval()
    count = len(ids) // WINDOW
    windows = torch.tensor(ids[: count * WINDOW]).view(count, WINDOW)
    total = sum(
        float(next_token_loss(model, batch, reduction="sum")) for batch in windows.split(_BATCH)
    )
    return total / (count * (WINDOW - 1))
