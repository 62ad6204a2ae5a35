"""Adapters to the libraries in which models are run; each module needs its library, and is imported by its full name.

- `argrad.integrations.transformers`: the rules of `argrad.decoding` in `generate()`.
- `argrad.integrations.vllm`: the same rules in vLLM's engine. Experimental.
"""

__all__: list[str] = []
