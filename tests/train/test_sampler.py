"""A trained network as a sampler: the same clip whoever asks, and steps that a probe can take apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import CODEC, GRID2, GRID4, GRID8, SPEC, WORLD, quiet, teacher

from salt_bench.types import Prompt, Steppable
from salt_train import codecs, sampler
from salt_train.checkpoint import CheckpointError
from salt_train.flow import guided
from salt_train.recipe import Recipe, Sampling, checkpoints
from salt_train.rollout import level, rollout
from salt_train.sampler import FlowSampler

PROMPTS = WORLD.prompts("validation")[:5]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with a trained teacher."""
    folder = tmp_path_factory.mktemp("runs")
    recipe().prepare(0, folder, quiet)
    return folder


def recipe(sampling: Sampling | None = None) -> Recipe:
    return replace(teacher(3), sampling=sampling or Sampling(GRID4))


def load(runs: Path, sampling: Sampling | None = None) -> FlowSampler:
    return FlowSampler.load(recipe(sampling), checkpoints(runs))


def pixels(found: FlowSampler, prompts: Sequence[Prompt] = PROMPTS, seed: int = 0) -> dict[str, np.ndarray]:
    return {clip.prompt.id: clip.frames() for clip in found(prompts, seed)}


def alike(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> bool:
    """At most one grey level apart, on at most one value in a thousand."""
    apart = [np.abs(one[i].astype(int) - two[i].astype(int)) for i in one]
    return one.keys() == two.keys() and max(a.max() for a in apart) <= 1 and float(np.mean([a > 0 for a in apart])) <= 1e-3


@pytest.mark.parametrize("sampling", [Sampling(GRID4), Sampling(GRID4, "sde"), Sampling(GRID4, guidance=2.0)], ids=str)
def test_a_clip_is_the_same_whatever_the_batch_and_the_order(
    runs: Path, sampling: Sampling, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = load(runs, sampling)
    whole = pixels(found)
    assert alike(whole, pixels(found, PROMPTS[::-1]))
    assert alike({PROMPTS[3].id: whole[PROMPTS[3].id]}, pixels(found, PROMPTS[3:4]))
    monkeypatch.setattr(sampler, "BATCH", 2)
    assert alike(whole, pixels(found))
    assert [clip.prompt for clip in found(PROMPTS, 0)] == list(PROMPTS)


def test_seeds_and_prompts_make_clips(runs: Path) -> None:
    found = load(runs)
    whole = pixels(found)
    assert not alike(whole, pixels(found, seed=1))
    assert len({v.tobytes() for v in whole.values()}) == len(PROMPTS)
    assert all(v.dtype == np.uint8 and v.shape == (12, 24, 24, 3) for v in whole.values())


@pytest.mark.parametrize(("grid", "guidance", "nfe"), [(GRID2, 1.0, 2), (GRID8, 1.0, 8), (GRID2, 2.0, 4), (GRID8, 0.0, 16)])
def test_evaluations_are_counted(runs: Path, grid: tuple[float, ...], guidance: float, nfe: int) -> None:
    found = load(runs, Sampling(grid, guidance=guidance))
    videos = [0]
    found.net.register_forward_hook(lambda _m, inputs, _o: videos.append(len(inputs[0])))
    (clip,) = found(PROMPTS[:1], 0)
    assert clip.nfe == found.nfe == nfe == sum(videos)
    assert (clip.fps, clip.seed) == (8.0, 0)


def test_a_probe_can_step_it(runs: Path) -> None:
    found = load(runs)
    assert isinstance(found, Steppable)
    states = list(found.path(PROMPTS, 0))
    assert [s.sigma for s in states] == [*GRID4, 0.0]
    assert np.array_equal(found.decode(states[-1]), np.stack(list(pixels(found).values())))


def test_moving_is_pure_and_one_euler_step(runs: Path) -> None:
    found = load(runs)
    state = next(iter(found.path(PROMPTS, 0)))
    before = state.x.clone()
    once, twice = found.move(state, 1.0, 0.5), found.move(state, 1.0, 0.5)
    assert torch.equal(state.x, before)
    assert state.sigma == 1.0
    assert torch.equal(once.x, twice.x)
    assert once.sigma == 0.5
    assert torch.allclose(once.x, before - 0.5 * found.mover.velocity(state), atol=1e-6)
    assert once.context is state.context


def test_moves_from_one_state_cost_one_evaluation(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = load(runs)
    calls: list[float] = []
    count = found.net.forward
    monkeypatch.setattr(found.net, "forward", lambda x, s, *rest: (calls.append(float(s[0])), count(x, s, *rest))[1])
    path = found.path(PROMPTS, 0)
    state = next(path)
    middle = found.move(state, 1.0, 0.5)
    found.move(middle, 0.5, 0.0)
    next(path)
    assert [round(s, 3) for s in calls] == [1.0, 0.5]
    with pytest.raises(ValueError, match="moves from its own noise level"):
        found.move(state, 0.9, 0.5)


def test_a_dropped_last_step_is_one_evaluation_less(runs: Path) -> None:
    """What public code does with a list of noise levels that does not end in 0."""
    whole, cut = load(runs, Sampling(GRID4)), load(runs, Sampling(GRID4, drop_last=True))
    assert (whole.nfe, cut.nfe) == (4, 3)
    *_, at, _ = whole.path(PROMPTS, 0)
    before = list(whole.path(PROMPTS, 0))[2]
    *_, final = cut.path(PROMPTS, 0)
    assert torch.allclose(final.x, whole.move(before, GRID4[2], 0.0).x, atol=1e-6)
    assert at.sigma == GRID4[3]


def test_guidance_is_the_standard_form(runs: Path) -> None:
    found = load(runs, Sampling(GRID4, guidance=4.0))
    state = next(iter(found.path(PROMPTS, 0)))
    cond = state.context.cond
    one, none = (found.net(state.x, level(1.0, state.x), c).velocity for c in (cond, found.captions.null(cond)))
    assert not torch.allclose(one, none, atol=1e-4)
    assert torch.allclose(found.mover.velocity(state), one + 3 * (one - none), atol=1e-4)
    assert torch.allclose(guided(one, none, 4.0), one + 3 * (one - none), atol=1e-5)


@pytest.mark.parametrize("update", ["ode", "sde"])
def test_a_training_rollout_is_the_samplers_video(runs: Path, update: str) -> None:
    found = load(runs, Sampling(GRID4, update))
    first, *_, final = found.path(PROMPTS, 0)
    with torch.no_grad():
        rolled = rollout(found.net, first.x, first.context, GRID4, update)
    assert torch.allclose(rolled.video, final.x, atol=1e-5)


def test_a_grid_changes_the_path_and_not_its_start(runs: Path) -> None:
    two, four = load(runs, Sampling(GRID2)), load(runs, Sampling(GRID4))
    (a, *_), (b, *_) = two.path(PROMPTS, 0), four.path(PROMPTS, 0)
    assert torch.equal(a.x, b.x)
    assert not alike(pixels(two), pixels(four))


def test_wrong_sampling_is_refused() -> None:
    with pytest.raises(ValueError, match='an update is "ode" or "sde", got \'Ode\''):
        Sampling(GRID4, "Ode")
    for grid in ((), (0.9, 0.5), (1.0, 0.5, 0.5), (1.0, 0.5, 0.0)):
        with pytest.raises(ValueError, match=r"a grid falls from 1 and stays above 0 .*, got \("):
            Sampling(grid)


def test_what_is_not_trained_cannot_sample(runs: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint .* under .*; train it first"):
        recipe().sampler(7, runs)


def test_captions_mark_what_they_say(runs: Path) -> None:
    captions = load(runs).captions
    found = captions(PROMPTS)
    assert found.shape == (5, 5, len(WORLD.vocabulary()) + 1)
    for row, prompt in zip(found, PROMPTS, strict=True):
        said = [{captions.world.vocabulary()[i] for i in slot.nonzero().flatten().tolist()} for slot in row]
        assert said == [{f"{k}={v}" for k, v in slot.items()} for slot in WORLD.slots(prompt)]
    null = captions.null(found)
    assert float(null[..., -1].min()) == 1
    assert float(null[..., :-1].abs().max()) == 0
    assert float(found[..., -1].max()) == 0


def test_the_codec_keeps_what_matters(tmp_path: Path) -> None:
    """Latents have the spread that they say; a round trip costs little, and the components beyond it more."""
    fitted = codecs.fitted(CODEC, tmp_path)
    frames = torch.from_numpy(WORLD.render(WORLD.prompts("train")[: CODEC.clips], 0))
    latents = fitted.encode(frames)
    assert latents.shape == (CODEC.clips, *CODEC.shape())
    assert torch.allclose(latents.mean((0, 2, 3, 4)), torch.zeros(6), atol=1e-3)
    assert torch.allclose(latents.std((0, 2, 3, 4)), fitted.std, rtol=1e-2)
    assert torch.allclose(fitted.std, fitted.scale, rtol=1e-4)  # half-whitened: √λ / λ^¼
    assert torch.allclose(fitted.basis @ fitted.basis.T, torch.eye(6), atol=1e-5)
    miss = (fitted.decode(latents).float() - frames.float()).square().mean()
    fewer = latents.clone()
    fewer[:, -1] = 0
    assert float(miss) < float((fitted.decode(fewer).float() - frames.float()).square().mean())
    assert float(miss) < 0.1 * float((frames.float() - frames.float().mean()).square().mean())


def test_a_codec_is_fitted_once_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    fitted = codecs.fitted(CODEC, tmp_path)
    assert codecs.fitted(CODEC, tmp_path) is fitted
    (path,) = tmp_path.glob("codec-*.safetensors")
    again = codecs.pca.load(CODEC, path)
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), fitted.state_dict().values(), strict=True))
    assert codecs.pca.fit(CODEC).bytes() == path.read_bytes()
    with pytest.raises(ValueError, match="is no codec with 7 components"):
        codecs.pca.load(replace(CODEC, channels=7), path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"is truncated or damaged .*; delete it"):
        codecs.pca.load(CODEC, path)


def test_sizes_follow_the_recipe(runs: Path) -> None:
    found = load(runs)
    assert CODEC.shape() == (6, 6, 6, 6)
    assert found.net.net.config.num_layers == SPEC.layers  # type: ignore[union-attr]
