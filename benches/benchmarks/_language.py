"""Logits of a language model: a small one, trained for a minute on the sources of Python's own library.

Words of the text are tokens, by rank of frequency; the next one is predicted from the eight before it, by a sum of
embeddings with a factor for each place, one hidden layer, and a head of any vocabulary. That is enough for logits of
the shape that decoding meets: a few likely words, a long tail ordered by frequency, rows of different entropy.
"""

from __future__ import annotations

import re
import sysconfig
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

KEPT = Path(__file__).resolve().parents[1] / ".cache" / "language"
CONTEXT, WIDTH, BATCH, STEPS = 8, 48, 192, 150
BYTES = 12_000_000


def logits(v: int, b: int) -> np.ndarray:
    """Logits of `b` places of text that the model has not seen, shape (b, v), float32; trained once and kept."""
    path = KEPT / f"{v}.npy"
    if not path.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        np.save(path, _train(v))
    rows = np.load(path)
    return np.ascontiguousarray(rows[:b])


def _tokens(v: int) -> np.ndarray:
    """Words and signs of the library's sources as ranks; those beyond the vocabulary share its last quarter."""
    folder, words, size = Path(sysconfig.get_path("stdlib")), [], 0
    for path in sorted(folder.glob("**/*.py")):
        if "site-packages" in path.parts or size > BYTES:
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        size += len(text)
        words += re.findall(r"\w+|[^\w\s]|\n", text)
    rank = {word: i for i, (word, _) in enumerate(Counter(words).most_common())}
    ids = np.array([rank[word] for word in words])
    return np.where(ids < v, ids, v - 1 - ids % (v // 4))


def _train(v: int, places: int = 64) -> np.ndarray:
    torch.manual_seed(0)
    ids = torch.from_numpy(_tokens(v))
    windows = ids.unfold(0, CONTEXT + 1, 1)
    train, held = windows[: -len(windows) // 10], windows[-len(windows) // 10 :]
    counts = torch.bincount(ids, minlength=v) + 0.5
    embed = torch.nn.Embedding(v, WIDTH)
    factor = torch.nn.Parameter(torch.ones(CONTEXT, WIDTH) / CONTEXT**0.5)
    hidden, head = torch.nn.Linear(WIDTH, WIDTH), torch.nn.Linear(WIDTH, v)
    with torch.no_grad():
        head.bias.copy_((counts / counts.sum()).log())
        head.weight.mul_(0.1)

    def model(context: torch.Tensor) -> torch.Tensor:
        return head(torch.tanh(hidden((embed(context) * factor).sum(1))))

    parameters = [*embed.parameters(), factor, *hidden.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    for _ in range(STEPS):
        batch = train[torch.randint(len(train), (BATCH,))]
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(batch[:, :-1]), batch[:, -1])
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        batch = held[torch.linspace(0, len(held) - 1, places).long()]
        rows = model(batch[:, :-1])
        loss = torch.nn.functional.cross_entropy(rows, batch[:, -1]).item()
    unigram = torch.nn.functional.cross_entropy((counts / counts.sum()).log().expand(places, v), batch[:, -1]).item()
    print(f"a language model of {v} words: {loss:.2f} nats a word on new text, {unigram:.2f} by frequency alone")
    return rows.float().numpy()


def model(v: int, steps: int = 60) -> Any:
    """A small Llama with a head of `v` words, trained on the same text; made once and kept."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = KEPT / f"llama-{v}-{steps}"
    if not folder.exists():
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=v, hidden_size=WIDTH, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
            max_position_embeddings=256, bos_token_id=None, eos_token_id=None, pad_token_id=0,
        )  # fmt: skip
        llama = LlamaForCausalLM(config)
        windows = torch.from_numpy(_tokens(v)).unfold(0, 32, 16)
        optimizer = torch.optim.Adam(llama.parameters(), lr=0.01)
        for _ in range(steps):
            batch = windows[torch.randint(len(windows), (16,))].contiguous()
            optimizer.zero_grad()
            loss = llama(input_ids=batch, labels=batch).loss
            loss.backward()
            optimizer.step()
        print(f"a Llama of {v} words: {loss.item():.2f} nats a word")
        llama.save_pretrained(folder)
    return LlamaForCausalLM.from_pretrained(folder).eval()


def prompts(v: int, b: int) -> torch.Tensor:
    """The beginnings of `b` texts, sixteen words each."""
    ids = torch.from_numpy(_tokens(v))
    return ids.unfold(0, 16, len(ids) // (b + 1))[:b].contiguous()
