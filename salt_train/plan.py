"""Before a run: how much memory each GPU needs, whether it has it, and what to change if not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from salt_bench.errors import WrongUse
from salt_train.forecast import Forecast, forecast
from salt_train.layout import Layout
from salt_train.parallel import check_heads, head_counts, parts
from salt_train.recipe import Recipe

CUTS = (1, 2, 4, 8, 16, 32, 64, 128)
SPARE = 0.07  # of a GPU's memory: the CUDA context, the allocator's gaps and what kernels take for themselves
UNITS = {"B": 1, "MB": 10**6, "GB": 10**9, "TB": 10**12, "MIB": 2**20, "GIB": 2**30}
TEXT_ENCODER = 22_700_000_000
"""Bytes of Wan's UMT5-XXL encoder in float32. Captions are read on the CPU."""
WAYS: tuple[dict[str, Any], ...] = (
    {"shard": True},
    {"checkpointing": True},
    {"frozen": "bfloat16"},
    {"offload": True},
    *({"sequence": ranks} for ranks in (2, 4, 8)),
)
"""What makes a layout smaller, those first that cost least."""
MOMENTS = {
    "student": "when the student's losses are made",
    "critics": "when the critics' losses are made",
    "student, step": "when the student's optimiser steps",
    "critics, step": "when the critics' optimisers step",
}


@dataclass(frozen=True)
class Demand:
    """What one of `gpus` GPUs needs, in bytes, at the worst moment of a run. `rows` are what is there at that moment and add up
    to it; `phase` is the part of an update in which it comes."""

    gpus: int
    layout: Layout
    phase: str
    rows: dict[str, int]
    memory: int

    @property
    def bytes(self) -> int:
        return sum(self.rows.values())

    @property
    def fits(self) -> bool:
        return self.bytes <= (1 - SPARE) * self.memory

    def data(self) -> dict[str, Any]:
        """JSON types."""
        said = {"gpus": self.gpus, "phase": self.phase, "bytes": self.bytes, "fits": self.fits, "options": flags(self.layout)}
        return said | {"rows": self.rows}


def demands(recipe: Recipe, layout: Layout, gpus: tuple[int, ...], memory: int) -> list[Demand]:
    """What `recipe` needs on each number of GPUs.

    Raises WrongUse where its batch does not divide."""
    videos = layout.micro or 1
    check_heads(recipe, layout)
    for n in gpus:
        parts(recipe.batch, n, replace(layout, micro=videos))
    found = forecasted(recipe, layout)
    return [demand(found, layout, n, memory) for n in gpus]


def forecasted(recipe: Recipe, layout: Layout) -> Forecast:
    """What an update needs with as many videos as a process takes at once."""
    frozen = "bfloat16" if layout.rounded(learns=False) else "float32"  # as it computes, whatever it is kept in
    rounding = Layout(compute=layout.products, frozen=frozen, checkpointing=layout.checkpointing, sequence=layout.sequence)
    return forecast(recipe, rounding, layout.micro or 1, CUTS)


def demand(found: Forecast, layout: Layout, gpus: int, memory: int) -> Demand:
    """The worst of the phases on that many GPUs."""
    phases = by_phase(found, layout, gpus)
    phase = max(phases, key=lambda name: sum(phases[name].values()))
    return Demand(gpus, layout, phase, phases[phase], memory)


def by_phase(found: Forecast, layout: Layout, gpus: int) -> dict[str, dict[str, int]]:
    """What is there in each phase of an update: while losses are made, and while an optimiser steps."""
    cut = gpus if layout.sharded else 1
    phases = {phase: _rows(found, layout, phase, working[cut], cut) for phase, working in found.working.items()}
    return phases | {f"{phase}, step": _stepping(found, layout, phase, cut) for phase in found.working}


def _rows(found: Forecast, layout: Layout, phase: str, working: float, cut: int) -> dict[str, int]:
    """While losses and gradients are made."""
    rows = _lasting(found, layout, phase, cut, stepping=False)
    cache = min(found.cache, int(working))
    rows |= {"gathered weights": max(part.gathered for part in found.lasting.values()) if layout.sharded else 0}
    return rows | {"keys and values": cache, "activations and gradients": int(working) - cache}


def _stepping(found: Forecast, layout: Layout, phase: str, cut: int) -> dict[str, int]:
    """While an optimiser steps: activations are gone, gradients are whole."""
    rows = _lasting(found, layout, phase, cut, stepping=True)
    gradients = sum(part.gradients for name, part in found.lasting.items() if _learns(name, phase))
    return rows | {"keys and values": found.cache, "activations and gradients": gradients // cut}


def _lasting(found: Forecast, layout: Layout, phase: str, cut: int, stepping: bool) -> dict[str, int]:
    rows = {}
    for name, part in found.lasting.items():
        halved = 2 if name == "teacher" and layout.frozen == "bfloat16" else 1
        away = layout.offloaded and name == "teacher"
        rows[name] = 0 if away else part.weights // halved // cut
        if part.moments:
            there = not layout.offloaded or (stepping and _learns(name, phase))
            rows[f"{name}: moments"] = part.moments // cut if there else 0
    return rows | {"captions": found.text}


def _learns(name: str, phase: str) -> bool:
    return name.startswith("critic") if phase == "critics" else name == "student"


def remedy(recipe: Recipe, found: Demand) -> Demand:
    """What it needs with the options that make it smaller, one more at a time until it fits, or with all of them."""
    layout = found.layout
    for change in WAYS:
        if found.fits or not _possible(change, recipe, found):
            continue
        layout = replace(layout, **change)
        (found,) = demands(recipe, layout, (found.gpus,), found.memory)
    return found


def _possible(change: dict[str, Any], recipe: Recipe, found: Demand) -> bool:
    if "shard" in change:
        return not found.layout.sharded and found.gpus > 1
    ranks = change.get("sequence", 1)
    return ranks == 1 or (
        ranks > found.layout.sequence and found.gpus % ranks == 0 and not any(h % ranks for h in head_counts(recipe))
    )


def flags(layout: Layout) -> str:
    """The options of `salt-train run` that ask for this layout."""
    said = [f"--device {layout.device}"] if layout.device != "cpu" else []
    said += [f"--micro {layout.micro}"] if layout.micro else []
    said += [f"--compute {layout.compute}"] if layout.compute else []
    said += [f"--frozen {layout.frozen}"] if layout.frozen != "float32" else []
    said += [f"--{name}" for name in ("shard", "checkpointing", "offload") if vars(layout)[name]]
    said += [f"--sequence {layout.sequence}"] if layout.sequence > 1 else []
    return " ".join(said)


def counts(text: str) -> tuple[int, ...]:
    """Numbers of GPUs in a word like 1,8.

    Raises WrongUse where it holds others than are planned for."""
    found = tuple(int(n) if n.strip().isdecimal() else 0 for n in text.split(","))
    if not set(found) <= set(CUTS):
        raise WrongUse(f"plans are made for {', '.join(map(str, CUTS))} GPUs, got {text!r}")
    return found


def amount(text: str) -> int:
    """Bytes in a word like 80GB, 40GiB or 640000B.

    Raises WrongUse where it is none."""
    number = text.rstrip("BbGgIiMmTt")
    try:
        found = int(float(number) * UNITS[text[len(number) :].upper()])
    except (ValueError, KeyError, OverflowError):
        found = 0
    if found <= 0:
        raise WrongUse(f"an amount of memory is a number and a unit, as in 80GB, got {text!r}")
    return found


def page(recipe: Recipe, found: Sequence[Demand]) -> str:
    """The demands side by side, in GB, and below each what to do where it does not fit."""
    names = [name for name in dict.fromkeys(name for d in found for name in d.rows) if any(d.rows.get(name) for d in found)]
    wide = max(map(len, [*names, "worst moment"]))
    lines = [_line("GB per GPU", [_gpus(d.gpus) for d in found], wide)]
    lines += [_line(name, [_gb(d.rows.get(name, 0)) for d in found], wide) for name in names]
    lines += ["─" * len(lines[0]), _line("together", [_gb(d.bytes) for d in found], wide)]
    lines += [_line(f"fits into {_gb(found[0].memory)}", ["yes" if d.fits else "no" for d in found], wide), ""]
    return "\n".join([*_head(recipe, found[0].layout), "", *lines, *(_advice(recipe, d) for d in found)])


def _head(recipe: Recipe, layout: Layout) -> list[str]:
    videos = layout.micro or 1
    stages = {"student": recipe, "teacher": recipe.teacher, "critics": recipe.critic_init or recipe.teacher}
    sizes = [f"{role} {_blocks(stage)}" for role, stage in stages.items() if stage and (role != "critics" or recipe.critic)]
    at_once = "one video at once" if videos == 1 else f"{videos} videos at once"
    where, asked = "on each GPU", f"--micro {videos}"
    if layout.sequence > 1:
        where, asked = f"on every {layout.sequence} GPUs", f"{asked} --sequence {layout.sequence}"
    said = [", ".join(sizes), f"a batch of {recipe.batch}, {at_once} {where}: {asked}"]
    if recipe.lora:
        said.append(f"low-rank changes learn, of rank {recipe.lora.rank}; all other weights have no gradients and no moments")
    if recipe.text:
        said.append(f"captions are read on the CPU: {_gb(TEXT_ENCODER)} GB of its memory for each process")
    return said


def _blocks(stage: Recipe) -> str:
    return f"{stage.backbone.layers} blocks of {stage.backbone.width}"


def _advice(recipe: Recipe, found: Demand) -> str:
    better = remedy(recipe, found)
    options, how_much = flags(better.layout), f"{_gb(better.bytes)} GB, {MOMENTS[better.phase]}"
    if better.fits:
        return f"{_gpus(found.gpus):>8}: {options} ({how_much})"
    return f"{_gpus(found.gpus):>8}: too large even with {options} ({how_much}); take more GPUs, or shorter videos"


def _line(name: str, values: Sequence[str], wide: int) -> str:
    return f"{name:<{wide}}" + "".join(f"{value:>10}" for value in values)


def _gpus(n: int) -> str:
    return f"{n} GPU" + "s" * (n > 1)


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f}" if size else "-"
