"""Causal recipes from data to checkpoint: every stage, mixed steps, long videos and resumes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from causal_parts import CHUNKS, causal, long_video
from test_resume import Stopped, stop_after
from tiny import GRID2, GRID4, GRID8, WORLD, quiet, student, teacher

from salt_bench.rng import Draws
from salt_bench.worlds.base import switch
from salt_train import checkpoint
from salt_train.caches.full import Full
from salt_train.objectives.cache_alignment import CacheAlignment
from salt_train.objectives.consistency_distillation import ConsistencyDistillation
from salt_train.objectives.dmd import DMD
from salt_train.objectives.gate import Gate
from salt_train.objectives.ode_regression import ODERegression
from salt_train.objectives.self_consistency import SelfConsistency
from salt_train.objectives.teacher_forcing import TeacherForcing
from salt_train.recipe import Recipe, Sampling, Stream
from salt_train.sampler import FlowSampler
from salt_train.stepper import average
from salt_train.steps import Steps
from salt_train.streaming import LongVideo, switch_at
from salt_train.train import build, train


def stages() -> dict[str, Recipe]:
    ar = causal(TeacherForcing(dropout=0.1), teacher=None, init=teacher(), critic=None, critic_updates=0, grid=())
    few = {"critic": None, "critic_updates": 0, "grid": GRID4, "teacher": ar}
    return {
        "ar": ar,
        "cd": causal(ConsistencyDistillation(GRID8), **few),
        "ode": causal(ODERegression(GRID8, guidance=2.0), **few),
        "dmd": causal(DMD(), init=ar),
        "salt": causal(
            DMD(),
            Gate(SelfConsistency(), (8,)),
            Gate(CacheAlignment(((GRID2, GRID4), (GRID4, GRID8)), tap=0), (2, 4)),
            mixed=((GRID8, 0.4), (GRID4, 0.4), (GRID2, 0.2)),
            steps=8,
        ),
        "long": long_video(),
    }


@pytest.mark.parametrize("name", ["ar", "cd", "ode", "dmd", "salt", "long"])
def test_every_stage_trains_and_is_sampled(name: str, root: Path) -> None:
    recipe = stages()[name]
    for before in (recipe.init, recipe.teacher):
        if before:
            train(before, root, quiet)
    folder = train(recipe, root, quiet)
    rows = [line for line in (folder / checkpoint.LOG).read_text().splitlines() if line]
    assert len(rows) == recipe.steps
    sampler = FlowSampler.load(replace(recipe, sampling=replace(recipe.sampling, frames=10)), root)
    (clip,) = sampler(WORLD.prompts("test")[:1], 0)
    assert clip.frames().shape == (20, 24, 24, 3)


def test_a_student_starts_from_its_initialisation(root: Path) -> None:
    first = stages()["ar"]
    train(first, root, quiet)
    nets = build(causal(DMD(), init=first), root)
    weights = checkpoint.weights(checkpoint.find(first.fingerprint(), root) or Path())
    assert all(torch.equal(weights[name], value) for name, value in nets.student.state_dict().items())
    assert nets.teacher is not None
    assert not torch.equal(nets.teacher.state_dict()["net.proj_out.weight"], weights["net.proj_out.weight"])


def test_mixed_steps_are_drawn_for_critic_and_student_with_their_odds(root: Path) -> None:
    recipe = causal(DMD(), mixed=((GRID8, 0.4), (GRID4, 0.4), (GRID2, 0.2)))
    nets, steps = build(recipe, root), Steps(recipe, root)
    counts = [len(steps(nets, Draws(0)(who, i), i, False).grid) for who in ("student", "critic") for i in range(300)]
    share = {k: counts.count(k) / 600 for k in (8, 4, 2)}
    assert share == pytest.approx({8: 0.4, 4: 0.4, 2: 0.2}, abs=0.06)


def test_rollouts_of_several_lengths_score_their_last_window(root: Path) -> None:
    recipe = causal(DMD(), frames=(6, 12))
    nets, steps = build(recipe, root), Steps(recipe, root)
    lengths = set()
    for i in range(30):
        made = steps(nets, Draws(0)("student", i), i, True)
        lengths.add(made.noise.shape[2])
        if made.noise.shape[2] == 12:
            video, _, first = made.scored
            assert video.shape[2] == 6
            assert first == 0
            assert torch.equal(video, made.rollout.video[:, :, 6:])
            assert [s.velocity.requires_grad for s in made.rollout.stops] == [False] * 3 + [True] * 3
            break
    assert lengths <= {6, 8, 10, 12}


def test_a_long_video_goes_on_from_update_to_update(root: Path) -> None:
    recipe = long_video()
    nets, steps = build(recipe, root), Steps(recipe, root)
    seen = []
    for i in range(6):
        made = steps(nets, Draws(0)("student", i), i, True, nets.videos[0])
        video, _, first = made.scored
        seen.append((nets.videos[0].number, nets.videos[0].position, made.noise.shape[2], first, made.switch is not None))
        assert video.shape[2] == 6
        if nets.videos[0].carried is not None and made.switch is None:
            assert torch.equal(video[:, :, :2], nets.videos[0].carried.tail)
        before = nets.videos[0]
        nets.videos[0] = steps.carried(nets.videos[0], made)
        assert not any(k.requires_grad for c in [nets.videos[0].carried] if c for k in c.context.cache.keys)
        assert before.position in (0, 6, 10)
    assert [row[:3] for row in seen] == [(0, 0, 6), (0, 6, 4), (0, 10, 4), (1, 0, 6), (1, 6, 4), (1, 10, 4)]
    assert [row[3] for row in seen] == [0, 2, 2, 0, 2, 2]
    assert [sum(row[4] for row in seen if row[0] == n) for n in (0, 1)] == [1, 1]


def test_where_a_video_changes_its_caption() -> None:
    stream = Stream(new=4, longest=14, switches=1.0)
    at = {switch_at(stream, 6, Draws(i)) for i in range(40)}
    assert at == {6, 10}
    assert {switch_at(replace(stream, switches=0.0), 6, Draws(i)) for i in range(40)} == {None}


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("cut", [2, 4, 5])
def test_a_long_video_resumes_to_the_same_bytes(cut: int, root: Path, tmp_path: Path) -> None:
    """Four pieces make a video and three are made per update, so that resume files hold videos in the middle."""
    recipe = long_video()
    recipe = replace(recipe, stream=replace(recipe.stream, longest=18))
    whole = train(recipe, root, quiet)
    other = tmp_path / "other"
    other.mkdir()
    (other / teacher().fingerprint()).symlink_to(root / teacher().fingerprint())
    with pytest.raises(Stopped):
        train(recipe, other, stop_after(cut, recipe.steps))
    resumed = train(recipe, other, quiet)
    for name in (checkpoint.WEIGHTS, checkpoint.LOG, checkpoint.RECIPE):
        assert (whole / name).read_bytes() == (resumed / name).read_bytes()


def test_the_state_of_a_long_video_survives_a_file(root: Path, tmp_path: Path) -> None:
    recipe = long_video()
    nets, steps = build(recipe, root), Steps(recipe, root)
    for i in range(2):
        nets.videos[0] = steps.carried(nets.videos[0], steps(nets, Draws(0)("student", i), i, False, nets.videos[0]))
    torch.save(nets.videos[0].state(), tmp_path / "video.pt")
    policy = recipe.chunks.cache if recipe.chunks else Full()
    back = LongVideo.load(torch.load(tmp_path / "video.pt", weights_only=True), policy)
    made = [steps(nets, Draws(0)("student", 9), 9, False, v) for v in (nets.videos[0], back)]
    assert torch.equal(*(step.rollout.video for step in made))
    assert torch.equal(*(step.scored.video for step in made))
    assert torch.equal(*(v.carried.context.past for v in (nets.videos[0], back)))  # what a change of caption would replay


def test_an_average_that_starts_over_forgets_what_was_before() -> None:
    ema, net = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    for i, weight in enumerate([1.0, 5.0, 9.0, 10.0]):
        torch.nn.init.constant_(net.weight, weight)
        average(ema, net, 0.9, i, start=2)
    assert float(ema.weight) == pytest.approx(0.9 * 9 + 0.1 * 10)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: replace(student(), chunks=CHUNKS), "a causal student is sampled in chunks too"),
        (lambda: replace(student(), mixed=((GRID8, 0.5), (GRID4, 0.4))), r"sum to 1, got \[0.5, 0.4\]"),
        (lambda: replace(student(), frames=(6, 12)), "only a causal student makes videos of other lengths"),
        (lambda: TeacherForcing(weighting="flat"), "one of preconditioned, bell, got 'flat'"),
        (lambda: CacheAlignment((), kind="cosine"), "one of relation, mmd, drift, got 'cosine'"),
    ],
)
def test_recipes_that_cannot_be_are_named(make: Callable[[], object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()


def test_a_sampler_changes_captions_and_says_its_chunks(root: Path) -> None:
    recipe = causal(DMD())
    train(recipe, root, quiet)
    sampler = FlowSampler.load(replace(recipe, sampling=replace(recipe.sampling, frames=8)), root)
    one, other = [p for p in WORLD.prompts("test") if p.factors["motion"] == "still"][:2]
    changed = switch(one, other, 8)
    first, (at, after) = sampler._captions([changed])  # type: ignore[misc]
    assert at == 4
    assert torch.equal(first, sampler.captions([one]))
    assert torch.equal(after, sampler.captions([other]))
    (clip,) = sampler([changed], 0)
    assert clip.chunk == 4
    with pytest.raises(ValueError, match="at one frame for all prompts of a batch"):
        list(sampler([changed, one], 0))
    with pytest.raises(ValueError, match="for a sampler without chunks"):
        list(replace(sampler, sampling=Sampling(GRID4))([changed], 0))
