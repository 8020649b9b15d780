"""The checks of an engine's contract; `kgym.testing.engines.check_engine` makes them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, get_args

from kgym.errors import EngineError, RunError
from kgym.rollout.engine import generate, poll, submit
from kgym.testing.report import Report, shown
from kgym.types import Engine, FinishReason, GenerateRequest, Message, RendersReplies, Reply, Sampling, Segment, Weights

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from kgym.rollout.canary import Canary

TOKENS = 12
"""Token budget of a completion in the checks."""
GAP_NATS = 0.05
"""Largest mean difference of an engine's log-probabilities from the model's own that can be rounding, in bfloat16
too.
"""
NOISE = 0.3
"""Standard deviation of the factors by which the other weights differ from the model's."""


@dataclass
class EngineChecks:
    """Makes all checks of one engine. `make` makes another instance; `folder` has its model, if that is known."""

    engine: Engine
    report: Report
    exact: bool
    adapters: bool
    make: Callable[[], Engine] | None
    folder: str | None
    weights: Weights | None
    remote: bool = False

    def run(self) -> None:
        """Make the checks; failures are in the report."""
        if self.remote:
            self._check_server()
            return
        with self.report.check("segments"):
            self.alone = {request.id: generated(self.engine, [request])[request.id] for request in _requests()}
        if self.report.failures:
            return  # all other checks would fail for the same reason
        with self.report.check("greedy"):
            first, *others = [self._greedy(seed) for seed in (1, 2, 3)]
            assert all(other == first for other in others), (
                f"two seeds give different completions at temperature 0: {shown(first)} and {shown(others[0])}"
            )
        with self.report.check("the context"):
            self._check_context()
        with self.report.check("submit while others are open"):
            self._check_late()
        with self.report.check("abort and continue"):
            self._check_abort()
        with self.report.check("sleep and wake"):
            self.engine.sleep()
            self.engine.wake()
            self._check_same(generated(self.engine, _requests()))
        if self.exact:
            self._check_exact()
        if self.folder is not None:
            self._check_model(self.folder)
        elif self.weights is not None:
            with self.report.check("new weights"):
                self._load(self.weights)
                generated(self.engine, _requests())

    # --- any engine ----------------------------------------------------------------------------------------------

    def _greedy(self, seed: int) -> Segment:
        request = replace(_requests()[0], sampling=Sampling(temperature=0.0), seed=seed)
        return generated(self.engine, [request])[request.id]

    def _check_context(self) -> None:
        prompt_tokens = len(next(iter(self.alone.values())).prompt_ids)
        short = replace(_requests()[0], context_tokens=prompt_tokens + 3)
        segment = generated(self.engine, [short])[short.id]
        assert len(segment.token_ids) <= 3, f"{len(segment.token_ids)} tokens, but context_tokens leaves room for 3"

    def _check_late(self) -> None:
        asked = _requests()
        submit(self.engine, asked[:2])
        found = {segment.request_id: segment for segment in self.engine.poll(0.0)}
        submit(self.engine, asked[2:])
        waiting = [request.id for request in asked if request.id not in found]
        found |= _collected(self.engine, waiting)
        self._check_same(_held(self.engine, asked, found))
        assert self.engine.poll() == [], "poll returns segments while no request is open"

    def _check_abort(self) -> None:
        asked = _requests()
        submit(self.engine, asked)
        self.engine.abort([asked[0].id, "nobody"])
        self.engine.abort()
        found = _collected(self.engine, [request.id for request in asked])
        open_again = []
        for request in asked:
            segment = found[request.id]
            n, reason = len(segment.token_ids), segment.finish_reason
            assert n <= TOKENS, f"an aborted completion has {n} tokens, but max_tokens is {TOKENS}"
            assert reason in ("abort", "stop") or n == TOKENS, (
                f"an aborted completion of {n} tokens has the finish_reason {reason!r}"
            )
            if reason == "abort":
                open_again.append(replace(request, max_tokens=TOKENS - n, prefix_ids=segment.token_ids))
        rest = generated(self.engine, open_again)
        if self.exact:
            for name, segment in rest.items():
                ids, whole = found[name].token_ids + segment.token_ids, self.alone[name].token_ids
                assert ids == whole, (
                    f"request {name}, aborted after {len(found[name].token_ids)} tokens and continued, has another "
                    "completion"
                )
        self._check_load_is_refused(asked)

    def _check_load_is_refused(self, asked: Sequence[GenerateRequest]) -> None:
        weights = self.weights if self.folder is None else _model_weights(_model(self.folder))
        if weights is None:
            return
        submit(self.engine, asked)
        version, refused = self.engine.version, False
        try:
            self.engine.load(version + 1, weights)
        except EngineError:
            refused = True
        self.engine.abort()
        _collected(self.engine, [request.id for request in asked])
        assert refused, "load takes new weights while requests are open, so that one segment has two versions"

    def _check_same(self, found: Mapping[str, Segment]) -> None:
        """Compare segments with those of the same requests alone, if the engine promises that they are the same."""
        if self.exact:
            for name, segment in self.alone.items():
                assert segment.token_ids == found[name].token_ids, (
                    f"request {name} gave {shown(segment)} first, and {shown(found[name])} later"
                )

    # --- engines at a server --------------------------------------------------------------------------------------

    def _check_server(self) -> None:
        """Make the checks that need neither tokens nor weights."""
        asked = _requests()
        with self.report.check("segments"):
            _held_remote(asked, {segment.request_id: segment for segment in generate(self.engine, asked)})
        if self.report.failures:
            return  # all other checks would fail for the same reason
        with self.report.check("submit while others are open"):
            submit(self.engine, asked[:2])
            found = {segment.request_id: segment for segment in self.engine.poll(0.0)}
            submit(self.engine, asked[2:])
            found |= _collected(self.engine, [request.id for request in asked if request.id not in found])
            _held_remote(asked, found)
            assert self.engine.poll() == [], "poll returns segments while no request is open"
        with self.report.check("abort"):
            submit(self.engine, asked)
            self.engine.abort([asked[0].id, "nobody"])
            self.engine.abort()
            found = _collected(self.engine, [request.id for request in asked])
            assert len(found) == len(asked), f"{len(asked)} aborted requests gave {len(found)} segments"
        with self.report.check("sleep and wake"):
            self.engine.sleep()
            self.engine.wake()
            _held_remote(asked, {segment.request_id: segment for segment in generate(self.engine, asked)})
        with self.report.check("what a server cannot do"):
            refused = False
            try:
                self.engine.load(self.engine.version + 1, NoWeights())
            except EngineError:
                refused = True
            assert refused, "load takes weights, but its record says that it samples at a server; leave out remote=True"

    # --- what an exact engine promises ----------------------------------------------------------------------------

    def _check_exact(self) -> None:
        with self.report.check("among other requests"):
            self._check_same(generated(self.engine, _requests()))
            self._check_same(generated(self.engine, _requests()[::-1]))
        with self.report.check("the same again"):
            first, second = generated(self.engine, _requests()), generated(self.engine, _requests())
            _check_identical(first, second, "asked once more")
        with self.report.check("cut and continued"):
            self._check_cut()

    def _check_cut(self) -> None:
        """Cut all completions into three segments, and continue the open ones together."""
        asked = {request.id: request for request in _requests()}
        whole = generated(self.engine, list(asked.values()))
        parts: dict[str, list[Segment]] = {name: [] for name in asked}
        requests = [replace(request, max_tokens=TOKENS // 3) for request in asked.values()]
        while requests:
            for name, segment in generated(self.engine, requests).items():
                assert segment.prompt_ids == whole[name].prompt_ids, (
                    "prompt_ids change when a completion is continued; they must not include the earlier segments"
                )
                parts[name].append(segment)
            requests = [
                replace(asked[name], max_tokens=TOKENS // 3, prefix_ids=_joined(parts[name]))
                for name in asked
                if parts[name][-1].finish_reason == "length" and len(_joined(parts[name])) < TOKENS
            ]
        for name, segments in parts.items():
            where = f"request {name}, cut after {len(segments[0].token_ids)} tokens, has"
            assert _joined(segments) == whole[name].token_ids, (
                f"{where} another completion: {shown(''.join(segments))} instead of {shown(whole[name])}"
            )
            logprobs = tuple(logprob for segment in segments for logprob in segment.engine_logprobs)
            assert logprobs == whole[name].engine_logprobs, f"{where} other log-probabilities than the uncut completion"

    # --- where the model is known ---------------------------------------------------------------------------------

    def _check_model(self, folder: str) -> None:
        model = _model(folder)
        other = _perturbed(model)
        with self.report.check("log-probabilities"):
            self._check_logprobs(model, self.alone)
        begun = generated(self.engine, [replace(request, max_tokens=TOKENS // 3) for request in _requests()])
        with self.report.check("new weights"):
            self._load(_model_weights(other))
            self._check_logprobs(other, generated(self.engine, _requests()), old=model)
        with self.report.check("completions that were begun under other weights"):
            self._check_begun(begun, other, model)
        with self.report.check("load while asleep"):
            self.engine.sleep()
            self._load(_model_weights(model))
            self.engine.wake()
            self._check_logprobs(model, generated(self.engine, _requests()), old=other)
        if isinstance(self.engine, RendersReplies):
            with self.report.check("replies"):
                self._check_replies(self.engine, model)
        with self.report.check("the canary"):
            self._check_canary(model)
        if self.adapters:
            with self.report.check("an adapter alone"):
                self._check_adapter(model)
        if self.exact and self.make is not None:
            with self.report.check("resumed"):
                another = self.make()
                another.load(self.engine.version, _model_weights(model))
                first, second = generated(self.engine, _requests()), generated(another, _requests())
                _check_identical(first, second, "asked of another engine with the same weights")

    def _check_replies(self, engine: RendersReplies, model: "PreTrainedModel") -> None:
        """Continue completions after a reply: the rendered reply has tokens, and the log-probabilities are the model's
        after these tokens.
        """
        asked = [replace(request, expects_reply=True) for request in _requests()]
        begun, said = generated(self.engine, asked), Message("tool", "17")
        rendered = engine.render_replies([Reply(said, begun[request.id].token_ids[-1]) for request in asked])
        assert all(rendered), "render_replies returned no token for a reply"
        turns = [
            replace(
                request,
                prefix_ids=(*begun[request.id].token_ids, *ids),
                turns=(Message("assistant", str(begun[request.id])), said),
            )
            for request, ids in zip(asked, rendered, strict=True)
        ]
        self._check_logprobs(model, generated(self.engine, turns), requests=turns)

    def _check_canary(self, model: "PreTrainedModel") -> None:
        """Hand over other weights and then the model's own, as a run does when it begins."""
        from kgym.models.weights import OtherWeights  # noqa: PLC0415
        from kgym.rollout.canary import Canary  # noqa: PLC0415
        from kgym.rollout.handover import Expected, Handover, bound_for, types_of  # noqa: PLC0415

        canary = Canary.of(self.engine, [request.prompt for request in _requests()], 1.0)
        own = _model_weights(model)
        for weights, of in ((OtherWeights(own), _negated(model)), (own, model)):
            types = types_of(self.engine)
            bound = bound_for(types, model.dtype, model.device, long=True)
            try:
                Handover(
                    self.engine.version + 7, weights, Expected(canary, _distributions(of, canary), types, bound)
                ).to(self.engine)
            except RunError as error:
                raise AssertionError(str(error)) from error

    def _check_adapter(self, model: "PreTrainedModel") -> None:
        """Load two adapters one after the other, whose effects must not add up, and then a whole model again."""
        for seed in (1, 2):
            adapter, with_it = _adapted(model, seed)
            self._load(adapter)
            self._check_logprobs(with_it, generated(self.engine, _requests()), old=model)
        self._load(_model_weights(model))
        self._check_logprobs(model, generated(self.engine, _requests()), old=with_it)

    def _check_begun(self, begun: Mapping[str, Segment], model: "PreTrainedModel", old: "PreTrainedModel") -> None:
        requests = [
            replace(request, max_tokens=TOKENS, prefix_ids=begun[request.id].token_ids)
            for request in _requests()
            if begun[request.id].finish_reason == "length"
        ]
        self._check_logprobs(model, generated(self.engine, requests), old=old, requests=requests)

    def _load(self, weights: Weights) -> None:
        version = self.engine.version + 7
        self.engine.load(version, weights)
        assert self.engine.version == version, (
            f"after load({version}, weights) the engine has the version {self.engine.version}"
        )

    def _check_logprobs(
        self,
        model: "PreTrainedModel",
        found: Mapping[str, Segment],
        *,
        old: "PreTrainedModel | None" = None,
        requests: Sequence[GenerateRequest] | None = None,
    ) -> None:
        """Compare log-probabilities with the model's own. If they differ, say whether they are known other ones."""
        for request in _requests() if requests is None else requests:
            segment, temperature = found[request.id], request.sampling.temperature or 1.0
            gap = _gap(model, request, segment, temperature)
            self.report.figures["gap_nats"] = max(gap, self.report.figures.get("gap_nats", 0.0))
            if gap <= GAP_NATS:
                continue
            guesses = [("before the temperature was applied", model, 1.0)]
            if old is not None:
                guesses.append(("those of the weights before the load", old, temperature))
            which = [what for what, of, at in guesses if _gap(of, request, segment, at) <= GAP_NATS]
            raise AssertionError(
                f"request {request.id}, at temperature {request.sampling.temperature:g}: the log-probabilities differ "
                f"from the model's by {gap:.2g} nats on average" + (f"; they are {which[0]}" if which else "")
            )


def generated(engine: Engine, requests: Sequence[GenerateRequest]) -> dict[str, Segment]:
    """Return the segments by the id of their request; each is checked against its request."""
    return _held(engine, requests, {segment.request_id: segment for segment in generate(engine, requests)})


def _held(engine: Engine, requests: Sequence[GenerateRequest], found: dict[str, Segment]) -> dict[str, Segment]:
    for request in requests:
        segment = found[request.id]
        n = len(segment.token_ids)
        assert n <= request.max_tokens, f"a segment has {n} tokens, but max_tokens is {request.max_tokens}"
        assert segment.finish_reason in get_args(FinishReason), f"the finish_reason is {segment.finish_reason!r}"
        assert segment.finish_reason == "stop" or n == request.max_tokens or request.context_tokens is not None, (
            f"a segment of {n} tokens out of {request.max_tokens} has the finish_reason {segment.finish_reason!r}"
        )
        assert segment.prompt_ids, "prompt_ids are empty; they are the tokens of the rendered prompt"
        assert all(logprob <= 1e-6 for logprob in segment.engine_logprobs), (
            f"the log-probabilities are {shown(segment.engine_logprobs)}; they have to be 0 or less"
        )
        assert segment.version == engine.version, (
            f"a segment has version {segment.version}, the engine has version {engine.version}"
        )
    return found


def _held_remote(requests: Sequence[GenerateRequest], found: Mapping[str, Segment]) -> None:
    """Check segments whose tokens only a server knows against their requests."""
    for request in requests:
        segment = found[request.id]
        assert segment.finish_reason in get_args(FinishReason), f"the finish_reason is {segment.finish_reason!r}"
        assert segment.n_tokens <= request.max_tokens, (
            f"a segment has {segment.n_tokens} tokens, but max_tokens is {request.max_tokens}"
        )
        assert segment.n_tokens or not segment, f"a segment without tokens has the text {shown(segment)}"


class NoWeights:
    """Weights without a tensor; see `kgym.types.Weights`."""

    adapter = None

    def named(self) -> "Iterator[tuple[str, Tensor]]":
        """Yield nothing."""
        return iter(())

    def copied(self) -> "NoWeights":
        """Return itself."""
        return self


def _collected(engine: Engine, open_ids: Sequence[str]) -> dict[str, Segment]:
    """Poll until none of these requests is open."""
    waiting = dict.fromkeys(open_ids)
    found = {}
    while waiting:
        for segment in poll(engine, waiting):
            del waiting[segment.request_id]
            found[segment.request_id] = segment
    return found


def _requests() -> list[GenerateRequest]:
    return [
        GenerateRequest(
            f"{name}",
            (Message("user", f"What is {name}+{name}?"),),
            TOKENS,
            Sampling(temperature=temperature),
            seed=name,
        )
        for name, temperature in ((1, 1.0), (2, 2.0), (3, 0.7), (4, 0.0))
    ]


def _joined(segments: Sequence[Segment]) -> tuple[int, ...]:
    return tuple(token for segment in segments for token in segment.token_ids)


def _check_identical(first: Mapping[str, Segment], second: Mapping[str, Segment], how: str) -> None:
    for name, segment in first.items():
        assert segment.token_ids == second[name].token_ids, (
            f"request {name}, {how}, has another completion: {shown(second[name])}"
        )
        assert segment.engine_logprobs == second[name].engine_logprobs, (
            f"request {name}, {how}, has other log-probabilities"
        )


# --- the model's own log-probabilities; torch and transformers are imported only where a model is known ---------------


def _model(folder: str) -> "PreTrainedModel":
    from kgym.models.policy import load_policy  # noqa: PLC0415

    return load_policy(folder).model


def _model_weights(model: "PreTrainedModel") -> Weights:
    from kgym.models.weights import ModelWeights  # noqa: PLC0415

    return ModelWeights(model)


def _perturbed(model: "PreTrainedModel") -> "PreTrainedModel":
    """Return a copy with other weights."""
    import torch  # noqa: PLC0415

    other = deepcopy(model)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in other.parameters():
            factors = 1 + NOISE * torch.randn(parameter.shape, generator=generator)
            parameter.mul_(factors.to(parameter.device, parameter.dtype))
    return other


def _negated(model: "PreTrainedModel") -> "PreTrainedModel":
    import torch  # noqa: PLC0415

    other = deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.neg_()
    return other


def _distributions(model: "PreTrainedModel", canary: "Canary") -> "Tensor":
    """Return the log-probabilities of every token at the places of a canary."""
    import torch  # noqa: PLC0415

    with torch.no_grad():
        rows = [
            model(input_ids=torch.tensor([text.ids], device=model.device)).logits[0, [n - 1 for n in text.places]]
            for text in canary.texts
        ]
    return (torch.cat(rows).float() / canary.temperature).log_softmax(-1).cpu()


def _adapted(model: "PreTrainedModel", seed: int) -> "tuple[Weights, PreTrainedModel]":
    """Return a LoRA adapter for all linear layers except the head, and a copy of the model with the adapter merged."""
    import torch  # noqa: PLC0415

    from kgym.models.adapters import PREFIX, merged  # noqa: PLC0415
    from kgym.models.weights import TensorWeights  # noqa: PLC0415

    other = deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    rank = 2
    for name, layer in other.named_modules():
        if isinstance(layer, torch.nn.Linear) and layer is not other.get_output_embeddings():
            spread = NOISE * layer.weight.float().std().item()
            a_RI = torch.randn((rank, layer.in_features), generator=generator).to(layer.weight.device)
            b_OR = spread * torch.randn((layer.out_features, rank), generator=generator).to(layer.weight.device)
            tensors |= {f"{PREFIX}{name}.lora_A.weight": a_RI, f"{PREFIX}{name}.lora_B.weight": b_OR}
            layer.weight.data = merged(layer.weight.data, a_RI, b_OR, 1.0)
    names = sorted({key.split(".")[-3] for key in tensors})
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "target_modules": names}
    return TensorWeights(tensors, config), other


def _gap(model: "PreTrainedModel", request: GenerateRequest, segment: Segment, temperature: float) -> float:
    """Return the mean difference of a segment's log-probabilities from the model's at a temperature, in nats."""
    import torch  # noqa: PLC0415

    if not segment.token_ids:
        return 0.0
    ids = [*segment.prompt_ids, *request.prefix_ids, *segment.token_ids]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids], device=model.device)).logits[0].float() / temperature
    n = len(segment.token_ids)
    logprobs = logits[-n - 1 : -1].log_softmax(-1)
    own = logprobs.gather(1, torch.tensor(segment.token_ids, device=model.device)[:, None])[:, 0]
    return float((own - torch.tensor(segment.engine_logprobs, device=model.device)).abs().mean())
