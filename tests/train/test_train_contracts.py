"""One battery for every cache policy and every objective: a new file in the packages is tested the moment it exists.

A class whose fields all have defaults needs nothing more. What has none is filled from `GIVEN`, by the field's name.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
from causal_parts import wan
from tiny import GRID2, GRID4, GRID8, sources, step
from torch import Tensor

from salt_bench import record
from salt_train import caches, objectives
from salt_train.backbones.base import Backbone, Causal
from salt_train.caches.base import CachePolicy, frame_bytes
from salt_train.describe import _cache
from salt_train.objectives.base import Objective, Step
from salt_train.objectives.dmd import DMD
from salt_train.rollout import Chunks, Renoise

GIVEN: dict[str, Any] = {"path": GRID8, "denser": ((GRID2, GRID4), (GRID4, GRID8)), "term": DMD(), "tap": 1, "margin": 0.0}
SIZES = (1, 2, 3)


def classes(package: ModuleType, base: type) -> Iterator[type]:
    """Every concrete subclass of `base` that a module of `package` defines."""
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        for cls in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(cls) and cls.__module__ == module.name and issubclass(cls, base) and not inspect.isabstract(cls):
                yield cls


def made(cls: type) -> Any:
    return cls(**{f.name: GIVEN[f.name] for f in dataclasses.fields(cls) if f.name in GIVEN})


POLICIES = [made(cls) for cls in classes(caches, CachePolicy)]
OBJECTIVES = [made(cls) for cls in classes(objectives, Objective)]
every_policy = pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)
every_objective = pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: type(objective).__name__)


def test_they_are_found() -> None:
    assert {"Full", "Window", "Relative"} <= {type(policy).__name__ for policy in POLICIES}
    assert {"DMD", "SelfConsistency", "CacheAlignment", "Gate"} <= {type(term).__name__ for term in OBJECTIVES}


@pytest.mark.parametrize("value", [*POLICIES, *OBJECTIVES], ids=lambda value: type(value).__name__)
def test_it_is_data_with_a_word_about_itself(value: Any) -> None:
    assert type(value).__dataclass_params__.frozen
    assert record.load(record.dump(value)) == value
    assert inspect.getdoc(type(value)) != inspect.getdoc(type(value).__mro__[1])


# --- cache policies ----------------------------------------------------------------------------------------------------------


@every_policy
def test_a_policy_remembers_what_it_will_read(policy: CachePolicy) -> None:
    for seen in range(40):
        stored = set(policy.stored(seen))
        assert set(policy.stored(seen + 1)) <= stored | {seen}, "what is forgotten never comes back"
        for new in SIZES:
            kept = policy.kept(seen, new)
            assert list(kept) == sorted(set(kept))
            assert set(kept) <= stored
            assert all(0 <= frame < seen for frame in kept)


@every_policy
def test_a_policy_places_every_frame_in_order(policy: CachePolicy) -> None:
    for seen in (0, 5, 30):
        kept = policy.kept(seen, 2)
        past, own = policy.places(kept, seen, 2)
        assert (len(past), len(own)) == (len(kept), 2)
        assert [*past, *own] == sorted({*past, *own}), "places rise with time, and no two are the same"
        assert set(policy.stays(kept)) <= set(kept)


@every_policy
@pytest.mark.parametrize("size", [1, 2])
def test_chunks_against_the_cache_are_the_masked_pass(policy: CachePolicy, size: int) -> None:
    net, frames, tokens = wan(0), 6, 4
    video, cond, sigma = torch.randn(2, 6, frames, 4, 4), torch.randn(2, 3, 5), torch.tensor([0.3, 0.7])
    cache, found = net.begin(cond, policy), []
    with torch.no_grad():
        whole = net(video, sigma, cond, causal=Causal((size,) * (frames // size), policy, video)).velocity
        for first in range(0, frames, size):
            before = cache
            found.append(net(video[:, :, first : first + size], sigma, cond, cache).velocity)
            cache = net.remember(video[:, :, first : first + size], cond, cache)
            assert (before.seen, cache.seen) == (first, first + size)
            assert cache.bytes == 2 * len(cache.frames) * frame_bytes(2, tokens, 16, 4)
    assert torch.allclose(torch.cat(found, 2), whole, atol=1e-5)


@every_policy
def test_a_policy_can_be_said_in_a_few_words(policy: CachePolicy) -> None:
    assert _cache(policy).startswith(type(policy).__name__)


# --- objectives --------------------------------------------------------------------------------------------------------------


def networks() -> tuple[Backbone, Backbone]:
    student, teacher = wan(0), wan(1)
    return student, teacher.requires_grad_(False)


def taken(student: Backbone, teacher: Backbone, seed: int = 0) -> Step:
    """A step of three chunks of two frames on the 4-grid, stopped at its third point."""
    return step(
        student,
        shape=(2, 6, 6, 4, 4),
        seed=seed,
        teacher=teacher,
        chunks=Chunks(2),
        grid=GRID4,
        exits=(2,) * 3,
        update="sde",
        renoise=Renoise(sources(2, seed)),
    )


def gradients(objective: Objective, student: Backbone, teacher: Backbone, seed: int = 0) -> tuple[Tensor, list[Tensor | None]]:
    critic = objective.critic(lambda: wan(2))
    loss = objective.loss(taken(student, teacher, seed), critic)
    assert loss is not None
    assert (loss.shape, bool(torch.isfinite(loss))) == ((), True)
    watched = [*student.parameters(), *(critic.parameters() if critic else ())]
    found = torch.autograd.grad(loss, watched, allow_unused=True)
    count = len(list(student.parameters()))
    assert all(g is None for g in found[count:]), "a term of the student's loss trains no critic"
    return loss, list(found[:count])


@every_objective
def test_a_term_trains_the_student_and_nobody_else(objective: Objective) -> None:
    student, teacher = networks()
    before = [p.clone() for p in (*student.parameters(), *teacher.parameters())]
    _, found = gradients(objective, student, teacher)
    assert any(g is not None and float(g.abs().max()) > 0 for g in found)
    assert all(torch.equal(a, b) for a, b in zip(before, (*student.parameters(), *teacher.parameters()), strict=True))


@every_objective
def test_a_term_depends_on_named_draws_alone(objective: Objective) -> None:
    student, teacher = networks()
    first, _ = gradients(objective, student, teacher)
    torch.randn(7)
    again, _ = gradients(objective, student, teacher)
    other, _ = gradients(objective, student, teacher, seed=1)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@every_objective
def test_a_critic_learns_from_its_own_loss_alone(objective: Objective) -> None:
    student, teacher = networks()
    critic = objective.critic(lambda: wan(2))
    if critic is None:
        with pytest.raises(TypeError, match="brings no critic"):
            objective.critic_loss(taken(student, teacher), wan(2))
        return
    loss = objective.critic_loss(taken(student, teacher), critic)
    found = torch.autograd.grad(loss, [*critic.parameters(), *student.parameters()], allow_unused=True)
    count = len(list(critic.parameters()))
    assert any(g is not None and float(g.abs().max()) > 0 for g in found[:count])
    assert all(g is None for g in found[count:])
