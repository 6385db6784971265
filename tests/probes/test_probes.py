"""The probes on models whose answers are known: fields that are constant, linear, or deaf to their grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from salt_bench import record
from salt_bench.probes import cross_step, semigroup_defect
from salt_bench.probes.base import Probe, steppable
from salt_bench.probes.cross_step import CrossStep
from salt_bench.probes.semigroup_defect import SemigroupDefect
from salt_bench.rng import Draws
from salt_bench.samplers.truth import Truth
from salt_bench.types import ArrayClip, Clip, Log, Prompt, State, Steppable
from salt_bench.worlds.shapes import ShapesWorld

PROMPTS = ShapesWorld().prompts("test")[:5]
FINE = (1.0, 0.9722, 0.9375, 0.8929, 0.8333, 0.75, 0.625, 0.4167)
COARSE = FINE[::2]
Velocity = Callable[[Tensor, float], Tensor]


@dataclass(frozen=True)
class FieldArm:
    """An untrained arm that follows a velocity field; a step of the sampler may differ from Ψ (`renoise`)."""

    velocity: Velocity
    grid: tuple[float, ...] = COARSE
    renoise: bool = False

    def prepare(self, seed: int, workdir: Path, log: Log) -> bool:
        return False

    def at(self, grid: tuple[float, ...]) -> FieldArm:
        return replace(self, grid=grid)

    def sampler(self, seed: int, workdir: Path) -> FieldSampler:
        return FieldSampler(self.velocity, self.grid, self.renoise)

    def identity(self, seed: int) -> Mapping[str, Any]:
        return {}

    def protocol(self) -> Mapping[str, Any]:
        return {}

    def small(self) -> FieldArm:
        return self

    def evidence(self, seed: int, workdir: Path) -> str:
        return "field"


@dataclass(frozen=True)
class FieldSampler:
    velocity: Velocity
    grid: tuple[float, ...]
    renoise: bool

    def __call__(self, prompts: Sequence[Prompt], seed: int) -> Iterator[Clip]:
        *_, final = self.path(prompts, seed)
        return (ArrayClip(p, seed, clip) for p, clip in zip(prompts, self.decode(final), strict=True))

    def path(self, prompts: Sequence[Prompt], seed: int) -> Iterator[State]:
        noise = [Draws(seed)(p.id).normal((3, 2, 8, 8)) for p in prompts]
        state = State(torch.from_numpy(np.stack(noise)), 1.0)
        for sigma, following in zip(self.grid, (*self.grid[1:], 0.0), strict=True):
            yield state
            state = self.move(state, sigma, following)
            if self.renoise:
                state = replace(state, x=state.x + 1.0)
        yield state

    def move(self, state: State, start: float, end: float) -> State:
        return replace(state, x=state.x - (start - end) * self.velocity(state.x, start), sigma=end)

    def decode(self, state: State) -> np.ndarray:
        pixels = (128 + 40 * state.x).clamp(0, 255).to(torch.uint8)
        return pixels.movedim(1, -1).repeat_interleave(4, 2).repeat_interleave(4, 3).numpy()


def quiet(stage: str, fraction: float) -> None:
    assert 0 <= fraction <= 1


def probed(probe: Probe, arm: Any, prompts: Sequence[Prompt] = PROMPTS, seed: int = 0) -> dict[str, dict[str, float]]:
    """Values per prompt id, all of them numbers and all of them declared."""
    found: dict[str, dict[str, float]] = {}
    for prompt, values in probe(arm, 0, Path(), prompts, seed, quiet):
        assert set(values) == set(probe.outputs)
        found[prompt.id] = {k: v for k, v in values.items() if v is not None}
        assert all(type(v) is float and math.isfinite(v) for v in found[prompt.id].values())
    return found


def linear(k: float) -> FieldArm:
    return FieldArm(lambda x, s: k * x)


DEFECT = SemigroupDefect(COARSE, FINE)
INTERVALS = [(COARSE[i], FINE[2 * i + 1], (*COARSE, 0.0)[i + 1]) for i in range(4)]


# --- semigroup defect -----------------------------------------------------------------------------------------------------


def test_a_constant_field_has_no_defect() -> None:
    for values in probed(DEFECT, FieldArm(lambda x, s: torch.full_like(x, 0.7))).values():
        assert values["defect"] == pytest.approx(0, abs=1e-5)
        assert values["1000-750/num"] == pytest.approx(0, abs=1e-4)
        assert values["1000-750/den"] == pytest.approx((COARSE[0] - COARSE[1]) * 0.7 * math.sqrt(3 * 2 * 8 * 8), rel=1e-4)


@pytest.mark.parametrize("k", [0.5, -1.0, 2.0])
def test_a_linear_field_has_a_known_defect(k: float) -> None:
    """v = k·x: x¹ - x² = -k²(σ_s-σ_m)(σ_m-σ_e)·x and x¹ - x_s = -k(σ_s-σ_e)·x, whatever x is."""
    ratios = [abs(k) * (s - m) * (m - e) / (s - e) for s, m, e in INTERVALS]
    for prompt, values in probed(DEFECT, linear(k)).items():
        norm = float(np.linalg.norm(Draws(0)(prompt).normal((3, 2, 8, 8))))
        for name, ratio, (s, m, e) in zip(DEFECT.names, ratios, INTERVALS, strict=True):
            assert values[f"{name}/ratio"] == pytest.approx(ratio, rel=1e-4)
            assert values[f"{name}/num"] == pytest.approx(k * k * (s - m) * (m - e) * norm, rel=1e-4)
            assert values[f"{name}/den"] == pytest.approx(abs(k) * (s - e) * norm, rel=1e-4)
            norm *= abs(1 - k * (s - e))  # where the path's own step leads
        assert values["defect"] == pytest.approx(np.mean(ratios), rel=1e-4)
        assert values["defect_sq"] == pytest.approx(np.mean(np.square(ratios)), rel=1e-4)


def test_the_defect_is_the_change_of_velocity() -> None:
    """(σ_m-σ_e)/(σ_s-σ_e) · ‖v_m - v_s‖/‖v_s‖ for a field that depends on place and time, at the states of the path."""
    arm = FieldArm(lambda x, s: torch.sin(2 * x) + s * x)
    sampler, found = arm.sampler(0, Path()), probed(DEFECT, arm)
    states = list(sampler.path(PROMPTS, 0))
    for name, state, (s, m, e) in zip(DEFECT.names, states, INTERVALS, strict=False):
        v_s = arm.velocity(state.x, s)
        v_m = arm.velocity(state.x - (s - m) * v_s, m)
        ratio = (m - e) / (s - e) * (v_m - v_s).flatten(1).norm(dim=1) / v_s.flatten(1).norm(dim=1)
        assert [found[p.id][f"{name}/ratio"] for p in PROMPTS] == [pytest.approx(float(r), rel=1e-3) for r in ratio]


@dataclass(frozen=True)
class TwoChunks:
    """The same field, which makes its video in two chunks of different noise."""

    inner: FieldArm

    def at(self, grid: tuple[float, ...]) -> TwoChunks:
        return TwoChunks(self.inner.at(grid))

    def sampler(self, seed: int, workdir: Path) -> Any:
        sampler = self.inner.sampler(seed, workdir)

        def path(self: FieldSampler, prompts: Sequence[Prompt], seed: int) -> Iterator[State]:
            for chunk in (0, 1):
                yield from (replace(s, chunk=chunk) for s in list(FieldSampler.path(self, prompts, seed + chunk))[:-1])
            yield State(torch.zeros(len(prompts), 3, 4, 8, 8), 0.0)

        return type("TwoChunkSampler", (FieldSampler,), {"path": path})(sampler.velocity, sampler.grid, sampler.renoise)


def test_the_norms_of_a_causal_model_go_over_all_chunks() -> None:
    k, (s, m, e) = 0.5, INTERVALS[0]
    for prompt, values in probed(DEFECT, TwoChunks(linear(k))).items():
        norm = math.hypot(*(float(np.linalg.norm(Draws(seed)(prompt).normal((3, 2, 8, 8)))) for seed in (0, 1)))
        assert values["1000-750/num"] == pytest.approx(k * k * (s - m) * (m - e) * norm, rel=1e-4)
        assert values["1000-750/den"] == pytest.approx(k * (s - e) * norm, rel=1e-4)
        assert values["defect"] == pytest.approx(np.mean([k * (s - m) * (m - e) / (s - e) for s, m, e in INTERVALS]), rel=1e-4)


def test_the_states_are_the_samplers_own() -> None:
    """A sampler that re-noises is probed where it goes, with the deterministic step."""
    plain, moved = probed(DEFECT, linear(0.5)), probed(DEFECT, replace(linear(0.5), renoise=True))
    for prompt in plain:
        assert plain[prompt]["1000-750/num"] == moved[prompt]["1000-750/num"]
        assert plain[prompt]["750-500/num"] != pytest.approx(moved[prompt]["750-500/num"], rel=0.1)
        assert plain[prompt]["defect"] == pytest.approx(moved[prompt]["defect"], rel=1e-4)


def test_the_means_can_be_made_again_from_their_parts() -> None:
    for values in probed(DEFECT, FieldArm(lambda x, s: torch.sin(2 * x))).values():
        ratios = [values[f"{name}/num"] / (values[f"{name}/den"] + 1e-8) for name in DEFECT.names]
        assert ratios == [pytest.approx(values[f"{name}/ratio"]) for name in DEFECT.names]
        assert values["defect"] == pytest.approx(np.mean(ratios))
        assert values["defect_sq"] == pytest.approx(np.mean(np.square(ratios)))


def test_a_field_that_stands_still_has_no_defect_and_no_error() -> None:
    assert {v for values in probed(DEFECT, linear(0.0)).values() for v in values.values()} == {0.0}


def test_intervals_have_the_names_of_the_raw_grid() -> None:
    assert DEFECT.names == ("1000-750", "750-500", "500-250", "250-0")
    assert DEFECT.intervals == tuple(INTERVALS)
    assert SemigroupDefect((1.0, 0.5), (1.0, 0.8, 0.5, 0.2)).names == ("1000-500", "500-0")
    assert {name for name, output in DEFECT.outputs.items() if output.better == 0} == {f"{n}/den" for n in DEFECT.names}
    with pytest.raises(ValueError, match="the fine grid holds the path's points and one inside each interval, got "):
        SemigroupDefect(COARSE, COARSE)
    with pytest.raises(ValueError, match="the fine grid"):
        SemigroupDefect(COARSE, FINE[:-1])


# --- cross-step consistency -----------------------------------------------------------------------------------------------

CROSS = CrossStep((FINE[::4], COARSE, FINE))


def test_a_model_that_ignores_its_grid_is_consistent() -> None:
    """A constant field ends in the same place whatever the steps."""
    for values in probed(CROSS, FieldArm(lambda x, s: torch.full_like(x, 0.7))).values():
        assert max(abs(v) for v in values.values()) < 1e-5


def test_a_linear_field_has_a_known_distance() -> None:
    """Every final latent is c_K·x with c_K = Π(1 - k(σ_i - σ_{i+1})), so the distance is |c_a - c_b| / √(c_a·c_b)."""
    ends = [math.prod(1 - (s - e) for s, e in zip(g, (*g[1:], 0.0), strict=True)) for g in CROSS.grids]
    assert CROSS.pairs == ((2, 4), (2, 8), (4, 8))
    for values in probed(CROSS, linear(1.0)).values():
        wanted = []
        for (a, b), (i, j) in zip(CROSS.pairs, ((0, 1), (0, 2), (1, 2)), strict=True):
            wanted.append(abs(ends[i] - ends[j]) / math.sqrt(ends[i] * ends[j]))
            assert values[f"latent {a}-{b}"] == pytest.approx(wanted[-1], rel=1e-4)
        assert values["latent mean"] == pytest.approx(np.mean(wanted), rel=1e-4)


def test_features_are_compared_too_and_means_are_over_the_pairs() -> None:
    found = probed(CROSS, FieldArm(lambda x, s: torch.sin(2 * x) + 2 * x * s))
    for values in found.values():
        for kind in ("latent", "feature"):
            parts = [values[f"{kind} {a}-{b}"] for a, b in CROSS.pairs]
            assert min(parts) > 0
            assert values[f"{kind} mean"] == pytest.approx(np.mean(parts))
        assert max(values[f"feature {a}-{b}"] for a, b in CROSS.pairs) < 2


def test_the_order_of_two_grids_does_not_matter() -> None:
    arm = FieldArm(lambda x, s: torch.sin(2 * x))
    there, back = probed(CrossStep((COARSE, FINE)), arm), probed(CrossStep((FINE, COARSE)), arm)
    for prompt, values in there.items():
        assert list(values.values()) == [pytest.approx(v, rel=1e-6) for v in back[prompt].values()]
    assert set(CrossStep((FINE, COARSE)).outputs) == {"latent 8-4", "latent mean", "feature 8-4", "feature mean"}


def test_only_the_first_test_prompts_are_used() -> None:
    held_out = ShapesWorld().prompts("validation")[:2]
    assert list(probed(replace(CROSS, most=3), linear(1.0), (*held_out, *PROMPTS))) == [p.id for p in PROMPTS[:3]]


# --- both -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("probe", [DEFECT, CROSS], ids=["defect", "cross"])
def test_a_prompt_is_measured_alike_in_any_batch(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    arm = FieldArm(lambda x, s: torch.sin(2 * x))
    whole = probed(probe, arm)
    assert list(whole) == [p.id for p in PROMPTS]
    for module in (semigroup_defect, cross_step):
        monkeypatch.setattr(module, "BATCH", 2)
    for prompt, values in probed(probe, arm, PROMPTS[::-1]).items():
        assert values == {k: pytest.approx(v, rel=1e-5, abs=1e-7) for k, v in whole[prompt].items()}
    other = probed(probe, arm, seed=1)
    assert all(other[p] != whole[p] for p in whole)


@pytest.mark.parametrize("probe", [DEFECT, CROSS], ids=["defect", "cross"])
def test_a_probe_is_a_record_with_a_protocol(probe: Probe) -> None:
    assert record.load(record.dump(probe)) == probe
    assert probe.protocol()["probe"] == probe.name
    assert record.text(probe.protocol()) != record.text(replace(probe, **changed(probe)).protocol())  # type: ignore[type-var]


def changed(probe: Probe) -> dict[str, Any]:
    return {"most": 5} if isinstance(probe, CrossStep) else {"path": FINE[::4], "fine": COARSE}


def test_a_sampler_that_cannot_be_stepped_is_named() -> None:
    assert isinstance(linear(1.0).sampler(0, Path()), Steppable)
    with pytest.raises(TypeError, match="a probe needs a sampler with grid, path, move and decode, got TruthSampler"):
        steppable(Truth(ShapesWorld()), 0, Path())
