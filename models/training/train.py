#!/usr/bin/env python3
"""Trains nursery-llama in three stages and writes it as a Hugging Face directory.

    python3 train.py --text work/train.txt --tokenizer work/tokenizer --out work/nursery-llama

Writes stage-1.safetensors and so on beside the model; --first-stage 2 starts from the first of
them.
"""

import argparse
import dataclasses
import json
import math
import pathlib
import shutil
import time
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from bpe import Tokenizer, split_stories
from config import NURSERY_LLAMA, LlamaConfig, write_config
from heldout import heldout_ids, heldout_loss
from llama import LlamaForCausalLM, next_token_loss
from windows import WindowSampler

SEED = 100
BATCH = 4
WINDOW = 256
WEIGHT_DECAY = 0.05
BETAS = (0.9, 0.95)
EPSILON = 1e-9
GRADIENT_NORM_LIMIT = 1.0
WARM_UP_STEPS = 60
FINAL_RATE_SHARE = 0.03
STEPS_BETWEEN_REPORTS = 25
LOSS_AVERAGE_DECAY = 0.95


@dataclasses.dataclass(frozen=True)
class Stage:
    """A run of the optimiser. It ends with its steps or its minutes, whichever end first."""

    seed: int
    peak_rate: float
    steps: int
    minutes: float
    story_share: float = 0.0
    rename_share: float = 0.0


STAGES = (
    Stage(seed=SEED, peak_rate=2.5e-3, steps=5000, minutes=23),
    Stage(seed=SEED + 50, peak_rate=1.5e-3, steps=3000, minutes=13, story_share=0.25),
    Stage(
        seed=SEED + 100, peak_rate=2e-3, steps=5000, minutes=10, story_share=0.6, rename_share=0.6
    ),
)


@dataclasses.dataclass(frozen=True)
class TrainingText:
    """The corpus, as stories and as the ids of all of them in a row."""

    stories: list[str]
    ids: np.ndarray

    @classmethod
    def read(cls, path: pathlib.Path, tokenizer: Tokenizer) -> "TrainingText":
        stories = split_stories(path.read_text(encoding="utf-8"))
        ids: list[int] = []
        for story in stories:
            ids += tokenizer.encode_story(story)
        return cls(stories, np.array(ids, dtype=np.uint16))


def learning_rate(stage: Stage, step: int, progress: float) -> float:
    """A linear warm-up and a cosine over the progress of the stage, which goes from 0 to 1."""
    warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return stage.peak_rate * warm_up * (FINAL_RATE_SHARE + (1 - FINAL_RATE_SHARE) * cosine)


def new_optimizer(model: LlamaForCausalLM, rate: float) -> torch.optim.Optimizer:
    """AdamW; the weights of the norms do not decay."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() == 2]
    others = [parameter for parameter in model.parameters() if parameter.dim() != 2]
    groups = [
        {"params": matrices, "weight_decay": WEIGHT_DECAY},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=BETAS, eps=EPSILON)


def train_stage(
    model: LlamaForCausalLM, stage: Stage, sampler: WindowSampler, limit_time: bool
) -> dict[str, Any]:
    """Trains `model` in place; returns what train_log.json tells of the stage."""
    model.train()
    optimizer = new_optimizer(model, stage.peak_rate)
    start = time.monotonic()
    step = 0
    average_loss: float | None = None
    curve: list[tuple[int, float, float]] = []
    while True:
        progress = step / stage.steps
        if limit_time:  # A slow machine still ends with the lowest learning rate.
            progress = max(progress, (time.monotonic() - start) / 60 / stage.minutes)
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(stage, step, progress)
        loss = next_token_loss(model, sampler.batch(BATCH, WINDOW + 1))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_NORM_LIMIT)
        optimizer.step()
        step += 1
        if average_loss is None:
            average_loss = loss.item()
        average_loss += (1 - LOSS_AVERAGE_DECAY) * (loss.item() - average_loss)
        if step % STEPS_BETWEEN_REPORTS == 0:
            seconds = time.monotonic() - start
            curve.append((step, round(average_loss, 4), round(seconds, 1)))
            print(f"step {step}: loss {average_loss:.4f}, {seconds:.0f} s", flush=True)
    return {
        **dataclasses.asdict(stage),
        "limit_time": limit_time,
        "steps_done": step,
        "tokens": step * BATCH * WINDOW,
        "seconds": time.monotonic() - start,
        "average_loss": average_loss,
        "curve_step_loss_seconds": curve,
    }


def save_weights(model: LlamaForCausalLM, path: pathlib.Path) -> None:
    """Writes the weights in float32. The head is not stored: it is the embedding matrix."""
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, path, metadata={"format": "pt"})


def stage_path(directory: pathlib.Path, number: int) -> pathlib.Path:
    return directory / f"stage-{number}.safetensors"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=pathlib.Path, required=True, help="made by corpus.py")
    parser.add_argument("--tokenizer", type=pathlib.Path, required=True, help="made by bpe.py")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--first-stage", type=int, default=1, choices=range(1, len(STAGES) + 1))
    parser.add_argument("--no-time-limit", action="store_true", help="run all steps of all stages")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    out: pathlib.Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(SEED)

    tokenizer = Tokenizer.load(arguments.tokenizer)
    if tokenizer.size != NURSERY_LLAMA["vocab_size"]:
        raise ValueError(f"the tokenizer has {tokenizer.size} ids")
    text = TrainingText.read(arguments.text, tokenizer)
    scored_ids = heldout_ids(tokenizer)
    model = LlamaForCausalLM(LlamaConfig.from_json(NURSERY_LLAMA))
    if arguments.first_stage > 1:
        model.load_state_dict(load_file(stage_path(out.parent, arguments.first_stage - 1)))
    parameter_count = sum(parameter.numel() for parameter in model.parameters())
    print(f"{parameter_count} parameters, {len(text.ids)} training tokens", flush=True)

    stage_logs = []
    for number, stage in enumerate(STAGES, 1):
        if number < arguments.first_stage:
            continue
        sampler = WindowSampler(
            tokenizer, text.stories, text.ids, stage.seed, stage.story_share, stage.rename_share
        )
        log = train_stage(model, stage, sampler, not arguments.no_time_limit)
        log["heldout_loss"] = heldout_loss(model, scored_ids)
        stage_logs.append(log)
        save_weights(model, stage_path(out.parent, number))
        print(f"stage {number}: held-out loss {log['heldout_loss']:.4f}", flush=True)

    save_weights(model, out / "model.safetensors")
    write_config(out)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(arguments.tokenizer / name, out)
    training_log = {"parameters": parameter_count, "stages": stage_logs}
    (out / "train_log.json").write_text(json.dumps(training_log), encoding="utf-8")


if __name__ == "__main__":
    main()
