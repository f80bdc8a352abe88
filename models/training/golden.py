#!/usr/bin/env python3
"""Writes the reference outputs of a trained model, computed in float32 from its files.

    python3 golden.py work/nursery-llama

Writes golden.json, golden_logits.safetensors and heldout_ids.json into the directory.
"""

import argparse
import json
import math
import pathlib
from typing import Any

import torch
from safetensors.torch import load_file, save_file

import heldout
from bpe import Tokenizer
from config import LlamaConfig
from llama import LlamaForCausalLM

PROMPTS = (
    "Once upon a time, there was a little girl named Lily. She",
    "One windy morning, a brave rabbit named Clover",
    "Tom was a little boy who lived near the river. Tom had a red kite that he loved more than "
    "anything. One day,",
    "Once upon a time, in a quiet forest, there lived a shy fox named Pip. One night, there was a "
    "loud storm.",
)
NEW_TOKENS = 64
LOGIT_POSITIONS = 8


def load_model(directory: pathlib.Path) -> LlamaForCausalLM:
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    model = LlamaForCausalLM(LlamaConfig.from_json(config))
    model.load_state_dict(load_file(directory / "model.safetensors"))
    return model.eval()


@torch.no_grad()
def decode_greedily(
    model: LlamaForCausalLM, prompt_ids: list[int], end_of_text: int
) -> tuple[list[int], list[float]]:
    """The most likely ids, one at a time, and by how much each led the second best logit."""
    caches = model.new_caches()
    chosen: list[int] = []
    gaps: list[float] = []
    step_ids = prompt_ids
    while len(chosen) < NEW_TOKENS and end_of_text not in chosen:
        logits = model(torch.tensor([step_ids]), caches)[0, -1]
        best = logits.topk(2)
        gaps.append(round(float(best.values[0] - best.values[1]), 4))
        chosen.append(int(best.indices[0]))
        step_ids = chosen[-1:]
    return chosen, gaps


@torch.no_grad()
def continue_prompt(model: LlamaForCausalLM, tokenizer: Tokenizer, prompt: str) -> dict[str, Any]:
    """The entry of a prompt in golden.json."""
    prompt_ids = tokenizer.encode(prompt)
    greedy_ids, gaps = decode_greedily(model, prompt_ids, tokenizer.end_of_text)
    logits = model(torch.tensor([prompt_ids + greedy_ids]))[0]
    if logits[len(prompt_ids) - 1 : -1].argmax(-1).tolist() != greedy_ids:
        raise RuntimeError("one pass over all tokens disagrees with decoding them one at a time")
    return {
        "prompt": prompt,
        "prompt_ids": prompt_ids,
        "greedy_ids": greedy_ids,
        "greedy_text": tokenizer.decode(greedy_ids),
        "min_top2_logit_gap": min(gaps),
        "top2_logit_gaps": gaps,
    }


@torch.no_grad()
def write_logits(model: LlamaForCausalLM, prompt_ids: list[int], path: pathlib.Path) -> None:
    """Writes the logits at the first positions of a prompt."""
    ids = torch.tensor(prompt_ids[:LOGIT_POSITIONS])
    logits = model(ids[None])[0].contiguous()
    save_file({"input_ids": ids, "logits": logits}, path, metadata={"format": "pt"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=pathlib.Path)
    directory: pathlib.Path = parser.parse_args().directory
    torch.set_num_threads(1)

    model = load_model(directory)
    tokenizer = Tokenizer.load(directory)
    prompts = [continue_prompt(model, tokenizer, prompt) for prompt in PROMPTS]
    write_logits(model, prompts[0]["prompt_ids"], directory / "golden_logits.safetensors")
    scored_ids = heldout.heldout_ids(tokenizer)
    (directory / "heldout_ids.json").write_text(json.dumps(scored_ids), encoding="utf-8")
    loss = heldout.heldout_loss(model, scored_ids)
    golden = {
        "model": directory.resolve().name,
        "compute": "float32 from the stored weights",
        "parameters_in_file": sum(parameter.numel() for parameter in model.parameters()),
        "prompts": prompts,
        "notes": {},
        "perplexity": {
            "value": math.exp(loss),
            "loss": loss,
            "tokens": heldout.TOKENS,
            "window": heldout.WINDOW,
            "method": heldout.METHOD,
        },
    }
    text = json.dumps(golden, ensure_ascii=False, indent=1)
    (directory / "golden.json").write_text(text, encoding="utf-8")
    print(json.dumps(golden["perplexity"], indent=1))


if __name__ == "__main__":
    main()
