"""The shape of nursery-llama, as its config.json states it."""

import dataclasses
import json
import pathlib
from typing import Any

# Keys and order of a Hugging Face config.json.
NURSERY_LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "attention_bias": False,
    "mlp_bias": False,
    "hidden_act": "silu",
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "rope_scaling": None,
    "tie_word_embeddings": True,
    "vocab_size": 1024,
    "bos_token_id": 1022,
    "eos_token_id": 1023,
    "initializer_range": 0.02,
    "max_position_embeddings": 512,
    "attention_dropout": 0.0,
    "use_cache": True,
    "transformers_version": "4.52.4",
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 16,
    "intermediate_size": 384,
    "torch_dtype": "float32",
}


@dataclasses.dataclass(frozen=True)
class LlamaConfig:
    """The entries of a config.json that the model reads."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    rms_norm_eps: float
    rope_theta: float

    @classmethod
    def from_json(cls, config: dict[str, Any]) -> "LlamaConfig":
        """Picks the entries; refuses a variant of the architecture that llama.py does not have."""
        for key in ("architectures", "attention_bias", "mlp_bias", "hidden_act", "rope_scaling",
                    "tie_word_embeddings"):
            if config[key] != NURSERY_LLAMA[key]:
                raise ValueError(f"unsupported {key}: {config[key]}")
        return cls(**{field.name: config[field.name] for field in dataclasses.fields(cls)})


def write_config(directory: pathlib.Path) -> None:
    """Writes config.json and generation_config.json."""
    generation = {
        "_from_model_config": True,
        "bos_token_id": NURSERY_LLAMA["bos_token_id"],
        "eos_token_id": NURSERY_LLAMA["eos_token_id"],
        "transformers_version": NURSERY_LLAMA["transformers_version"],
    }
    for name, content in (("config.json", NURSERY_LLAMA), ("generation_config.json", generation)):
        (directory / name).write_text(json.dumps(content, indent=2), encoding="utf-8")
