#!/usr/bin/env python3
"""The corpus generator and the tokenizer of models/training make what the model was made of."""

import hashlib
import json
import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "nursery-llama"
sys.path.insert(0, str(ROOT / "models" / "training"))

import bpe
import corpus

CHECKED_BYTES = 2048
# Of the first bytes of the held-out text that came with the model.
HELDOUT_SHA256 = "b2022f16ddd9965a4e4b3328cffe267f116b94da1d9c53c67e3dbf43487c48c0"


class TrainingTextTest(unittest.TestCase):
    def setUp(self) -> None:
        self.stories = list(corpus.write_stories(corpus.HELDOUT_SEED, CHECKED_BYTES))

    def test_seed_gives_the_heldout_text(self) -> None:
        text = "".join(story + corpus.SEPARATOR for story in self.stories).encode("utf-8")
        self.assertGreaterEqual(len(text), CHECKED_BYTES)
        self.assertEqual(hashlib.sha256(text[:CHECKED_BYTES]).hexdigest(), HELDOUT_SHA256)

    def test_tokenizer_gives_the_heldout_ids(self) -> None:
        tokenizer = bpe.Tokenizer.load(MODEL)
        ids = [index for story in self.stories for index in tokenizer.encode_story(story)]
        expected = json.loads((MODEL / "heldout_ids.json").read_text(encoding="utf-8"))
        self.assertGreater(len(ids), CHECKED_BYTES // 8)
        self.assertEqual(ids, expected[: len(ids)])

    def test_decoding_undoes_encoding(self) -> None:
        tokenizer = bpe.Tokenizer.load(MODEL)
        for story in self.stories:
            self.assertEqual(tokenizer.decode(tokenizer.encode_story(story)), story)

    def test_text_that_is_not_ascii_is_refused(self) -> None:
        with self.assertRaises(ValueError):
            bpe.Tokenizer.load(MODEL).encode("caf\u00e9")


if __name__ == "__main__":
    unittest.main()
