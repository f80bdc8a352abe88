#!/usr/bin/env python3
"""Byte-level BPE: trains the tokenizer of nursery-llama and encodes the ASCII text of its corpus.

    python3 bpe.py --text train.txt --out tokenizer

Ids: first the 256 bytes in the order of the GPT-2 alphabet, then one id for each merge in the order
of the merges, then <|begin_of_text|> and <|end_of_text|>. Uses the Python standard library only.
"""

import argparse
import collections
import json
import pathlib
import re
from collections.abc import Iterable
from typing import Any

from corpus import SEPARATOR

BEGIN_OF_TEXT = "<|begin_of_text|>"
END_OF_TEXT = "<|end_of_text|>"
VOCABULARY_SIZE = 1024
MODEL_MAX_LENGTH = 512
TRAINING_CHARACTERS = 4_000_000  # The merges are learnt from the start of the corpus.

# How a tokenizer has to split text before merging: the expression of Llama 3.
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# The same for ASCII text, which is all that the corpus has, in the syntax of Python.
_ASCII_SPLIT = re.compile(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\nA-Za-z0-9]?[A-Za-z]+|[0-9]{1,3}| ?[^\sA-Za-z0-9]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    re.ASCII,
)

Pair = tuple[str, str]


def _byte_alphabet() -> dict[int, str]:
    """GPT-2's printable character for every byte, in the order of the ids."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = {byte: chr(byte) for byte in printable}
    alphabet.update({byte: chr(256 + index) for index, byte in enumerate(others)})
    return alphabet


_CHARACTER_OF_BYTE = _byte_alphabet()
_BYTE_OF_CHARACTER = {character: byte for byte, character in _CHARACTER_OF_BYTE.items()}


def split_words(text: str) -> list[str]:
    """The pieces of an ASCII text that are merged on their own."""
    if not text.isascii():
        raise ValueError("the training tokenizer encodes ASCII text only")
    return _ASCII_SPLIT.findall(text)


def split_stories(text: str) -> list[str]:
    """The stories of a corpus."""
    return [story for story in text.split(SEPARATOR) if story]


def _characters(word: str) -> list[str]:
    return [_CHARACTER_OF_BYTE[byte] for byte in word.encode("utf-8")]


def _merge_pair(tokens: list[str], pair: Pair) -> list[str]:
    """`tokens` with every occurrence of `pair`, from left to right, made one token."""
    merged = []
    position = 0
    while position < len(tokens):
        if tuple(tokens[position : position + 2]) == pair:
            merged.append(pair[0] + pair[1])
            position += 2
        else:
            merged.append(tokens[position])
            position += 1
    return merged


def learn_merges(stories: Iterable[str], count: int) -> list[Pair]:
    """Merges the most frequent pair `count` times; of equally frequent pairs the smaller one."""
    word_counts: collections.Counter[str] = collections.Counter()
    for story in stories:
        word_counts.update(split_words(story))
    words = [_characters(word) for word in word_counts]
    counts = list(word_counts.values())
    pair_counts: collections.Counter[Pair] = collections.Counter()
    words_with_pair: dict[Pair, set[int]] = collections.defaultdict(set)
    for index, tokens in enumerate(words):
        for pair in zip(tokens, tokens[1:]):
            pair_counts[pair] += counts[index]
            words_with_pair[pair].add(index)

    merges: list[Pair] = []
    while len(merges) < count:
        best = min(pair_counts, key=lambda pair: (-pair_counts[pair], pair))
        if pair_counts[best] <= 0:
            break
        merges.append(best)
        for index in list(words_with_pair[best]):
            tokens = words[index]
            for pair in zip(tokens, tokens[1:]):
                pair_counts[pair] -= counts[index]
            tokens = words[index] = _merge_pair(tokens, best)
            for pair in zip(tokens, tokens[1:]):
                pair_counts[pair] += counts[index]
                words_with_pair[pair].add(index)
        del pair_counts[best]
    return merges


class Tokenizer:
    """Encodes and decodes with a list of merges."""

    def __init__(self, merges: Iterable[Pair]) -> None:
        self.merges = list(merges)
        tokens = [*_CHARACTER_OF_BYTE.values(), *(left + right for left, right in self.merges)]
        self.vocabulary = {token: index for index, token in enumerate(tokens)}
        if len(self.vocabulary) != len(tokens):
            raise ValueError("two merges give the same token")
        self.begin_of_text = len(tokens)
        self.end_of_text = len(tokens) + 1
        self.size = len(tokens) + 2
        self._tokens = tokens
        self._ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        self._cache: dict[str, list[int]] = {}

    @classmethod
    def load(cls, directory: pathlib.Path) -> "Tokenizer":
        """Reads the merges from a tokenizer.json that `write_tokenizer` wrote."""
        file = json.loads((directory / "tokenizer.json").read_text(encoding="utf-8"))
        merges = (merge.split(" ") for merge in file["model"]["merges"])
        return cls((left, right) for left, right in merges)

    def _encode_word(self, word: str) -> list[int]:
        ids = self._cache.get(word)
        if ids is None:
            tokens = _characters(word)
            while True:
                known = [pair for pair in zip(tokens, tokens[1:]) if pair in self._ranks]
                if not known:
                    break
                tokens = _merge_pair(tokens, min(known, key=self._ranks.__getitem__))
            ids = self._cache[word] = [self.vocabulary[token] for token in tokens]
        return ids

    def encode(self, text: str) -> list[int]:
        """<|begin_of_text|> and the ids of `text`, in which special tokens are plain text."""
        ids = [self.begin_of_text]
        for word in split_words(text):
            ids += self._encode_word(word)
        return ids

    def encode_story(self, story: str) -> list[int]:
        """A training document: <|begin_of_text|>, the story, <|end_of_text|>."""
        return [*self.encode(story), self.end_of_text]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`, without special tokens."""
        characters = "".join(self._tokens[index] for index in ids if index < len(self._tokens))
        text = bytes(_BYTE_OF_CHARACTER[character] for character in characters)
        return text.decode("utf-8", errors="replace")


def _tokenizer_file(tokenizer: Tokenizer) -> dict[str, Any]:
    """What tokenizer.json holds: the schema of the Hugging Face package `tokenizers`."""
    special = {
        "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True
    }
    byte_level = {"type": "ByteLevel", "add_prefix_space": True}
    first = [
        {"SpecialToken": {"id": BEGIN_OF_TEXT, "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
    ]
    second = [
        {"SpecialToken": {"id": BEGIN_OF_TEXT, "type_id": 1}},
        {"Sequence": {"id": "B", "type_id": 1}},
    ]
    begin = {"id": BEGIN_OF_TEXT, "ids": [tokenizer.begin_of_text], "tokens": [BEGIN_OF_TEXT]}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": tokenizer.begin_of_text, "content": BEGIN_OF_TEXT, **special},
            {"id": tokenizer.end_of_text, "content": END_OF_TEXT, **special},
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {
                    "type": "Split",
                    "pattern": {"Regex": LLAMA3_SPLIT},
                    "behavior": "Isolated",
                    "invert": False,
                },
                {
                    "type": "ByteLevel",
                    "add_prefix_space": False,
                    "trim_offsets": True,
                    "use_regex": False,
                },
            ],
        },
        "post_processor": {
            "type": "Sequence",
            "processors": [
                {**byte_level, "trim_offsets": False, "use_regex": True},
                {
                    "type": "TemplateProcessing",
                    "single": first,
                    "pair": first + second,
                    "special_tokens": {BEGIN_OF_TEXT: begin},
                },
            ],
        },
        "decoder": {**byte_level, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": tokenizer.vocabulary,
            "merges": [f"{left} {right}" for left, right in tokenizer.merges],
        },
    }


def write_tokenizer(tokenizer: Tokenizer, directory: pathlib.Path) -> None:
    """Writes tokenizer.json, tokenizer_config.json and special_tokens_map.json."""
    added = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    config = {
        "added_tokens_decoder": {
            str(tokenizer.begin_of_text): {"content": BEGIN_OF_TEXT, **added, "special": True},
            str(tokenizer.end_of_text): {"content": END_OF_TEXT, **added, "special": True},
        },
        "bos_token": BEGIN_OF_TEXT,
        "eos_token": END_OF_TEXT,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": MODEL_MAX_LENGTH,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    special_tokens = {
        "bos_token": {"content": BEGIN_OF_TEXT, **added},
        "eos_token": {"content": END_OF_TEXT, **added},
    }
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in (
        ("tokenizer.json", _tokenizer_file(tokenizer)),
        ("tokenizer_config.json", config),
        ("special_tokens_map.json", special_tokens),
    ):
        text = json.dumps(content, ensure_ascii=False, indent=2)
        (directory / name).write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    with arguments.text.open(encoding="utf-8") as file:
        text = file.read(TRAINING_CHARACTERS)
    # The last story is cut; it counts like the others.
    merge_count = VOCABULARY_SIZE - len(_CHARACTER_OF_BYTE) - 2
    tokenizer = Tokenizer(learn_merges(split_stories(text), merge_count))
    write_tokenizer(tokenizer, arguments.out)
    print(f"{tokenizer.size} ids")


if __name__ == "__main__":
    main()
