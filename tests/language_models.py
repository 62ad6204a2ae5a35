"""Small language models for the tests of integrations, and what their tests share."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM

V, START, END, PAD = 97, 1, 2, 0
INFINITY = float("inf")


def small_model(seed=0, v=V, **options):
    """Random weights, in double precision: a row alone and the same row in a batch give the same logits to 1e-16."""
    torch.manual_seed(seed)
    settings = {
        "vocab_size": v,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "bos_token_id": START,
        "eos_token_id": END,
        "pad_token_id": PAD,
        "initializer_range": 0.3,
    }
    return LlamaForCausalLM(LlamaConfig(**settings | options)).double().eval()


def three_prompts():
    """Three prompts of lengths 3, 5 and 4, padded on the left."""
    ids = torch.randint(3, V, (3, 5), generator=torch.Generator().manual_seed(5))
    ids[0, :2] = ids[2, :1] = PAD
    return {"input_ids": ids, "attention_mask": (ids != PAD).long()}


def random_scores(rng, b=6, v=50, scale=3.0):
    return torch.from_numpy(rng.normal(size=(b, v)) * scale)


def kept(scores):
    return scores > -INFINITY


def scores_of(model, prompts, **options):
    """The scores from which `generate` draws its first token, by the library's own loop."""
    with_scores = {"return_dict_in_generate": True, "output_scores": True, "max_new_tokens": 1}
    return model.generate(**prompts, do_sample=True, **with_scores, **options).scores[0]


def new_tokens(sequences, prompts):
    return sequences[:, prompts["input_ids"].shape[1] :]
