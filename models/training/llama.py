"""The Llama architecture in PyTorch.

The names of the modules are those of the Hugging Face checkpoints, so that the keys of state_dict()
are the names of the stored tensors. Shapes in comments: B batch, T tokens of this call, S tokens
seen so far, H heads, D head_dim.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from config import LlamaConfig

# Standard deviation of the initial weights, before the division by sqrt(hidden_size).
_INITIAL_DEVIATION = 0.5


class RMSNorm(nn.Module):
    """w * x / sqrt(mean(x^2) + epsilon)."""

    def __init__(self, size: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.epsilon)
        return self.weight * (x * scale)


class Rotation:
    """Rotary position embedding for a range of positions.

    Element i of a head is paired with element i + D/2. Position p turns the pair by the angle
    p * theta^(-2i/D).
    """

    def __init__(self, config: LlamaConfig, first: int, count: int) -> None:
        exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
        frequencies = 1.0 / config.rope_theta**exponents
        angles = torch.arange(first, first + count)[:, None].float() * frequencies
        angles = torch.cat([angles, angles], -1)  # [T, D]
        self._cosine = angles.cos()
        self._sine = angles.sin()

    def apply(self, heads: Tensor) -> Tensor:
        """Rotates `heads` [B, H, T, D]."""
        low, high = heads.chunk(2, -1)
        return heads * self._cosine + torch.cat([-high, low], -1) * self._sine


class LayerCache:
    """The keys and values of a layer for the tokens seen so far."""

    def __init__(self) -> None:
        self._keys: Tensor | None = None
        self._values: Tensor | None = None

    @property
    def length(self) -> int:
        return 0 if self._keys is None else self._keys.shape[2]

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Adds the tokens of one call; returns everything."""
        if self._keys is not None:
            keys = torch.cat([self._keys, keys], 2)
            values = torch.cat([self._values, values], 2)
        self._keys, self._values = keys, values
        return keys, values


class Attention(nn.Module):
    """Causal attention; every key/value head serves a group of neighbouring query heads."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self._config = config
        query_size = config.num_attention_heads * config.head_dim
        key_size = config.num_key_value_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, query_size, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, key_size, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, key_size, bias=False)
        self.o_proj = nn.Linear(query_size, config.hidden_size, bias=False)

    def _heads(self, x: Tensor, count: int) -> Tensor:
        """[B, T, count * D] as [B, count, T, D]."""
        return x.unflatten(-1, (count, self._config.head_dim)).transpose(1, 2)

    def forward(self, x: Tensor, rotation: Rotation, cache: LayerCache | None) -> Tensor:
        config = self._config
        queries = rotation.apply(self._heads(self.q_proj(x), config.num_attention_heads))
        keys = rotation.apply(self._heads(self.k_proj(x), config.num_key_value_heads))
        values = self._heads(self.v_proj(x), config.num_key_value_heads)
        past = 0
        if cache is not None:
            past = cache.length
            keys, values = cache.append(keys, values)
        group = config.num_attention_heads // config.num_key_value_heads
        keys = keys.repeat_interleave(group, 1)
        values = values.repeat_interleave(group, 1)

        scores = (queries * config.head_dim**-0.5) @ keys.transpose(-1, -2)  # [B, H, T, S]
        future = torch.full(scores.shape[-2:], float("-inf")).triu(1 + past)
        mixed = torch.softmax(scores + future, -1) @ values
        return self.o_proj(mixed.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    """down(silu(gate(x)) * up(x))."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """Attention and MLP, each behind a norm and beside a residual connection."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = MLP(config)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, x: Tensor, rotation: Rotation, cache: LayerCache | None) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rotation, cache)
        return x + self.mlp(self.post_attention_layernorm(x))


class LlamaModel(nn.Module):
    """Everything but the head."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self._config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, ids: Tensor, caches: list[LayerCache] | None) -> Tensor:
        past = caches[0].length if caches else 0
        rotation = Rotation(self._config, past, ids.shape[1])
        x = self.embed_tokens(ids)
        for index, layer in enumerate(self.layers):
            x = layer(x, rotation, caches[index] if caches else None)
        return self.norm(x)


class LlamaForCausalLM(nn.Module):
    """Llama with the embedding matrix as its head."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.model = LlamaModel(config)
        deviation = _INITIAL_DEVIATION / math.sqrt(config.hidden_size)
        # What is added to the residual stream starts smaller: it is added twice in every layer.
        residual_deviation = deviation / math.sqrt(2 * config.num_hidden_layers)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                adds_to_residual = "o_proj" in name or "down_proj" in name
                nn.init.normal_(
                    parameter, 0.0, residual_deviation if adds_to_residual else deviation
                )

    def new_caches(self) -> list[LayerCache]:
        return [LayerCache() for _ in self.model.layers]

    def forward(self, ids: Tensor, caches: list[LayerCache] | None = None) -> Tensor:
        """The logits [B, T, vocabulary] of `ids` [B, T], which follow what `caches` hold."""
        return F.linear(self.model(ids, caches), self.model.embed_tokens.weight)


def next_token_loss(model: LlamaForCausalLM, ids: Tensor, reduction: str = "mean") -> Tensor:
    """Cross entropy of every token of `ids` [B, T] but the first, given those before it."""
    logits = model(ids[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction=reduction)
