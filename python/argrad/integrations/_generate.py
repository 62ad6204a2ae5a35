"""The loop of `generate()` with a draw that reads the logits once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from argrad.integrations import _rules

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import GenerationConfig, PreTrainedModel
    from transformers.generation.logits_process import LogitsProcessorList
    from transformers.generation.stopping_criteria import StoppingCriteriaList
    from transformers.generation.streamers import BaseStreamer


class _Option(NamedTuple):
    """A sampling option of the library: its name in the configuration, its warper, our name, what switches it off."""

    name: str
    warper: str
    rule: str | None
    off: tuple[float | None, ...]


_OPTIONS = (
    _Option("temperature", "TemperatureLogitsWarper", None, (None, 1.0)),
    _Option("top_h", "TopHLogitsWarper", "top_h", (None,)),
    _Option("top_k", "TopKLogitsWarper", "top_k", (None, 0)),
    _Option("top_p", "TopPLogitsWarper", "top_p", (None, 1.0)),
    _Option("min_p", "MinPLogitsWarper", "min_p", (None,)),
    _Option("typical_p", "TypicalLogitsWarper", "typical_p", (None, 1.0)),
    _Option("epsilon_cutoff", "EpsilonLogitsWarper", "epsilon", (None, 0.0, 1.0)),
    _Option("eta_cutoff", "EtaLogitsWarper", "eta", (None, 0.0, 1.0)),
)


def bregman_generate(
    model: PreTrainedModel,
    input_ids: Tensor,
    *,
    logits_processor: LogitsProcessorList,
    stopping_criteria: StoppingCriteriaList,
    generation_config: GenerationConfig,
    streamer: BaseStreamer | None = None,
    synced_gpus: bool = False,
    alpha: float = 1.0,
    penalty: float | None = None,
    k: int | None = None,
    dual: bool = False,
    temperature: float | None = None,
    max_k: int | None = None,
    seed: object = None,
    row: object = None,
    **model_kwargs: Any,
) -> Any:
    """Generate by sparse Bregman decoding; for `custom_generate=` of `generate`.

        model.generate(**inputs, custom_generate=bregman_generate, penalty=0.01, seed=0, max_new_tokens=100)

    The library prepares the inputs, the cache, the processors and the stopping criteria, and hands them over; the
    arguments from `alpha` to `row` are passed to `generate`. Every token is drawn, whatever `do_sample` is (greedy
    search is `k=1`), and the library's own temperature and truncation are left out: the rule takes their place. One of
    them that is set for this call, not by the model's own configuration, is an error.

    A draw is decided by (`seed`, number of the row, number of tokens in the row without its padding). Rows therefore
    do not depend on their companions where `row` names them, and generating on from a result goes on as one longer
    call would have.

    Args:
        model: From `generate`, like the arguments up to `synced_gpus`. Without beams.
        input_ids: Shape (b, length), padded on the left.
        logits_processor: Applied before the rule.
        stopping_criteria: Asked after each token.
        generation_config: Lengths, special tokens, `use_cache`, what to return (`output_scores` are log q).
        streamer: The library shows the prompt to its `streamer` but does not hand it over: give it to both, as in
            `generate(..., streamer=s, custom_generate=functools.partial(bregman_generate, streamer=s))`.
        synced_gpus: Not supported.
        alpha: As in `argrad.decoding.bregman_decode`, like `penalty`, `k`, `dual` and `max_k`.
        penalty: Price of one more token, or None.
        k: Number of tokens to keep, or None. Exactly one of `penalty` and `k` is given.
        dual: The dual decoder.
        temperature: Of the softmax before the rule, >= 0; None takes that of the model's configuration.
        max_k: At most so many tokens, or None.
        seed: An integer below 2**64, or a tensor of one for each row; None takes one from torch's global generator, so
            that `transformers.set_seed` reaches it.
        row: A number below 2**32 for each row of the batch, or None for 0, 1, ... in order.
        **model_kwargs: For the model.

    Returns:
        What `generate` returns: token ids, shape (b, length), or with `return_dict_in_generate=True` an output with
        `sequences`, `scores`, `logits` and the cache.

    Raises:
        TypeError: A parameter of a wrong type.
        ValueError: A parameter out of range, both or neither of `penalty` and `k`, beams, or an option that the loop
            does not have.
        RuntimeError: A model on a device that is not an NVIDIA GPU.
    """
    for option in _OPTIONS[1:]:
        value = getattr(generation_config, option.name, None)
        preset = getattr(model.generation_config, option.name, None)
        if value not in option.off and value != preset and (option.name, value) != ("top_k", 50):
            raise ValueError(
                f"bregman_generate: {option.name} must not be set, got {value!r}; "
                "truncated_generate has the truncation rules of the library"
            )
    if temperature is None:
        temperature = generation_config.temperature
    rule = _rules.Bregman(alpha, penalty, k, dual, temperature, max_k)
    setting = _Setting("bregman_generate", rule, seed, row, logits_processor, stopping_criteria, generation_config)
    return _loop(setting, model, input_ids, model_kwargs, streamer, synced_gpus)


def truncated_generate(
    model: PreTrainedModel,
    input_ids: Tensor,
    *,
    logits_processor: LogitsProcessorList,
    stopping_criteria: StoppingCriteriaList,
    generation_config: GenerationConfig,
    streamer: BaseStreamer | None = None,
    synced_gpus: bool = False,
    top_n_sigma: float | None = None,
    p_less: bool = False,
    order: Any = None,
    seed: object = None,
    row: object = None,
    **model_kwargs: Any,
) -> Any:
    """Sample as `generate` does with the same options, from one pass over the logits; for `custom_generate=`.

        model.generate(**inputs, do_sample=True, top_p=0.9, custom_generate=truncated_generate, seed=0)

    `temperature`, `top_k` (50 unless it is set), `top_p`, `min_p`, `typical_p`, `epsilon_cutoff`, `eta_cutoff` and
    `top_h` mean what they mean in `generate`, and the tokens have the same law; ties at the k-th token and `top_h` are
    the exceptions (see `argrad.decoding.truncate`). Draws depend on seed, row and step as in `bregman_generate`.

    Args:
        model: From `generate`, like the arguments up to `synced_gpus`; see `bregman_generate`.
        input_ids: Shape (b, length), padded on the left.
        logits_processor: Those of the library's warpers that belong to the options above are left out.
        stopping_criteria: Asked after each token.
        generation_config: `do_sample` has to be True.
        streamer: As in `bregman_generate`.
        synced_gpus: Not supported.
        top_n_sigma: As in `argrad.decoding.truncate`, like `p_less` and `order`; the library lacks them.
        p_less: The threshold is the sum of all squared probabilities.
        order: Order of the rules, or None for that of the library.
        seed: As in `bregman_generate`.
        row: As in `bregman_generate`.
        **model_kwargs: For the model.

    Returns:
        As `bregman_generate`.

    Raises:
        TypeError: A parameter of a wrong type.
        ValueError: A parameter out of range, `do_sample=False`, beams, or an option that the loop does not have.
        RuntimeError: A model on a device that is not an NVIDIA GPU.
    """
    if not generation_config.do_sample:
        raise ValueError(f"truncated_generate: do_sample must be True, got {generation_config.do_sample}")
    rules = {"top_n_sigma": top_n_sigma, "p_less": p_less or None, "order": order}
    for option in _OPTIONS[1:]:
        if _is_on(generation_config, option):
            rules[option.rule or option.name] = getattr(generation_config, option.name)
    rules = {name: value for name, value in rules.items() if value is not None}
    temperature = 1.0 if generation_config.temperature is None else generation_config.temperature
    rule = _rules.Truncation(temperature, rules)
    setting = _Setting("truncated_generate", rule, seed, row, logits_processor, stopping_criteria, generation_config)
    return _loop(setting, model, input_ids, model_kwargs, streamer, synced_gpus)


class _Setting(NamedTuple):
    function: str
    rule: _rules.Bregman | _rules.Truncation
    seed: object
    row: object
    processors: Any
    criteria: Any
    config: Any


def _is_on(config: GenerationConfig, option: _Option) -> bool:
    return getattr(config, option.name, None) not in option.off


def _without_warpers(setting: _Setting) -> Any:
    """Return the processors without the warpers that `generate` made from its own options.

    It appends them after those of the caller, so of each kind that the options ask for, the last one goes.
    """
    left = type(setting.processors)(setting.processors)
    if setting.config.do_sample:
        for option in _OPTIONS:
            names = [type(processor).__name__ for processor in left]
            modules = [type(processor).__module__.split(".")[0] for processor in left]
            ours = [i for i, name in enumerate(names) if name == option.warper and modules[i] == "transformers"]
            if ours and _is_on(setting.config, option):
                del left[ours[-1]]
    return left


def _refuse(setting: _Setting, synced_gpus: bool) -> None:
    """Raise for what the loop does not have, rather than leave it out silently."""
    config = setting.config
    found = {
        "num_beams": (1, config.num_beams or 1),
        "output_attentions": (False, bool(config.output_attentions)),
        "output_hidden_states": (False, bool(config.output_hidden_states)),
        "synced_gpus": (False, synced_gpus),
    }
    for name, (expected, actual) in found.items():
        if actual != expected:
            raise ValueError(f"{setting.function}: {name} must be {expected}, got {actual}")
    _rules.try_out(setting.rule)


def _length(input_ids: Tensor, model_kwargs: dict[str, Any], decoder_only: bool) -> Any:
    """Return the number of tokens in each row without the padding: where draws begin to count."""
    mask = model_kwargs.get("attention_mask")
    if decoder_only and mask is not None:
        return mask.sum(1)
    embedded = model_kwargs.get("inputs_embeds")
    return (input_ids if embedded is None else embedded).shape[1]


def _loop(
    setting: _Setting,
    model: Any,
    input_ids: Tensor,
    model_kwargs: dict[str, Any],
    streamer: Any,
    synced_gpus: bool,
) -> Any:
    """Run the model and draw, until every row has stopped."""
    import torch

    _refuse(setting, synced_gpus)
    config, processors = setting.config, _without_warpers(setting)
    is_encoder_decoder = model.config.is_encoder_decoder
    place = {
        "seed": _rules.seed_of(setting.function, setting.seed),
        "row": _rules.rows_of(setting.function, setting.row),
    }
    length = _length(input_ids, model_kwargs, not is_encoder_decoder)
    ends = any(hasattr(criterion, "eos_token_id") for criterion in setting.criteria)
    record = _Record(setting)
    going = torch.ones(len(input_ids), dtype=torch.bool, device=input_ids.device)
    step = 0
    outputs = model._prefill(input_ids, config, model_kwargs)
    while True:
        logits = outputs.logits[:, -1]
        model_kwargs = model._update_model_kwargs_for_generation(
            outputs, model_kwargs, is_encoder_decoder=is_encoder_decoder
        )
        del outputs  # the logits of a prompt may be large
        # A processor may write into what it is given, and `generate` gives float32.
        scores = processors(input_ids, logits.to(dtype=torch.float32, copy=True)) if processors else logits
        token = setting.rule.draw(scores, step=length + step, **place)
        record.add(logits, scores)
        if ends:
            token = torch.where(going, token, config._pad_token_tensor)
        input_ids = torch.cat([input_ids, token[:, None]], dim=1)
        if streamer is not None:
            streamer.put(token)
        going &= ~setting.criteria(input_ids, record.scores)
        if not going.any():
            break
        step += 1
        inputs = model.prepare_inputs_for_generation(
            input_ids, next_sequence_length=1 if model_kwargs["use_cache"] else None, **model_kwargs
        )
        outputs = model(**inputs, return_dict=True)
    if streamer is not None:
        streamer.end()
    return record.output(model, input_ids, model_kwargs) if config.return_dict_in_generate else input_ids


class _Record:
    """What was asked for beside the tokens."""

    def __init__(self, setting: _Setting) -> None:
        config = setting.config
        wanted = config.return_dict_in_generate
        self.rule = setting.rule
        self.scores: tuple[Tensor, ...] | None = () if wanted and config.output_scores else None
        self.logits: tuple[Tensor, ...] | None = () if wanted and config.output_logits else None

    def add(self, logits: Tensor, scores: Tensor) -> None:
        if self.logits is not None:
            self.logits += (logits.clone().float(),)  # without the prompt's logits behind it
        if self.scores is not None:
            self.scores += (_rules.log_probabilities(self.rule, scores.float()),)

    def output(self, model: Any, sequences: Tensor, model_kwargs: dict[str, Any]) -> Any:
        from transformers.generation import utils

        kind: Any = (
            utils.GenerateEncoderDecoderOutput if model.config.is_encoder_decoder else utils.GenerateDecoderOnlyOutput
        )
        cache = model_kwargs.get("past_key_values")
        return kind(sequences=sequences, scores=self.scores, logits=self.logits, past_key_values=cache)
