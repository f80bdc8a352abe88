"""Draws the windows of text that the model is trained on."""

import re

import numpy as np
import torch

import words
from bpe import Tokenizer

# "Will" is left out: it also opens questions.
_KNOWN_NAMES = [
    name for pool in ("girl", "boy", "pet_name") for name in words.POOLS[pool] if name != "Will"
]
_NAME = re.compile(r"\b(" + "|".join(_KNOWN_NAMES) + r")\b")
_SENTENCE_END = re.compile(r'[.!?]"?\s+')

# The parts of invented names.
_NAME_PARTS = [
    parts.split()
    for parts in (
        "B C D F G H J K L M N P R S T V W Z Br Fl Gr Pl St Tr Ch Sh",
        "a e i o u",
        "b d f g k l ll m n nn p r rr s t tt v x z nd lk mb rt",
        "a e i o y ie ix en er in el us ow ina ello ika",
    )
]
# How many of the stories with invented names are cut as well.
_CUT_SHARE_OF_RENAMED = 0.3


class WindowSampler:
    """Batches of windows of the corpus.

    Half of the rows start where a story starts, half anywhere. A share of the rows, `story_share`,
    is replaced by a story that may lack its first sentences, so that the model can also be asked to
    go on from the middle of a story. In a share of these, `rename_share`, all names are replaced by
    invented ones; then a name can only be predicted by copying it from the text before.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        stories: list[str],
        ids: np.ndarray,
        seed: int,
        story_share: float,
        rename_share: float,
    ) -> None:
        self._tokenizer = tokenizer
        self._stories = stories
        self._ids = ids
        self._rng = np.random.default_rng(seed)
        self._story_starts = np.flatnonzero(ids == tokenizer.begin_of_text)
        self._story_share = story_share
        self._rename_share = rename_share

    def batch(self, rows: int, length: int) -> torch.Tensor:
        """Windows [rows, length] of token ids."""
        end = len(self._ids) - length
        at_stories = self._rng.choice(self._story_starts[self._story_starts < end], rows // 2)
        anywhere = self._rng.integers(0, end, rows - rows // 2)
        windows = [
            self._ids[start : start + length] for start in np.concatenate([at_stories, anywhere])
        ]
        for row in range(rows):
            if self._story_share and self._rng.random() < self._story_share:
                windows[row] = self._story_window(length)
        return torch.from_numpy(np.stack(windows).astype(np.int64))

    def _story_window(self, length: int) -> np.ndarray:
        story = self._pick_story()
        if not self._rename_share or self._rng.random() < _CUT_SHARE_OF_RENAMED:
            story = self._drop_first_sentences(story)
        ids = self._tokenizer.encode_story(story)
        while len(ids) < length:
            ids += self._tokenizer.encode_story(self._pick_story())
        return np.array(ids[:length], dtype=self._ids.dtype)

    def _pick_story(self) -> str:
        story = self._stories[self._rng.integers(len(self._stories))]
        if self._rename_share and self._rng.random() < self._rename_share:
            return self._rename(story)
        return story

    def _rename(self, story: str) -> str:
        """Replaces every name, the same name by the same invented one."""
        new_names: dict[str, str] = {}

        def replacement(match: re.Match[str]) -> str:
            name = match.group(1)
            if name not in new_names:
                new_names[name] = "".join(
                    parts[self._rng.integers(len(parts))] for parts in _NAME_PARTS
                )
            return new_names[name]

        return _NAME.sub(replacement, story)

    def _drop_first_sentences(self, story: str) -> str:
        """Cuts after one of the sentences of the first two thirds of a story."""
        ends = [match.end() for match in _SENTENCE_END.finditer(story)]
        return story[ends[self._rng.integers(max(1, len(ends) * 2 // 3))] :]
