"""From a filled work folder to the published one: scores, manifest, clips to look at, and the page. Whole or not at all."""

from __future__ import annotations

import io
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from salt_bench import cell as cells
from salt_bench import files, record, results, together
from salt_bench.cell import Cell
from salt_bench.errors import UserError, WrongUse
from salt_bench.study import Outcome, Plan
from salt_bench.types import Prompt, Study

Render = Callable[[Path], object]
GALLERY = 8  # prompts
CLIPS_BYTES = 5_000_000
_VERSIONS = (
    "salt-bench",
    "torch",
    "numpy",
    "scipy",
    "pandas",
    "diffusers",
    "transformers",
    "safetensors",
    "pillow",
    "matplotlib",
)


def publish(plan: Plan, outcome: Outcome, out: Path, render: Render) -> bool:
    """Puts the finished study into `out`, in place of an earlier one; False where that says the same already.

    The folder is made beside `out` and then takes its name, so `out` is never half of a study. Raises WrongUse where `out` is
    a folder that holds something else, UserError where a cell is not this study's: another run may work in the same folder."""
    out = out.resolve()
    if out.exists() and any(out.iterdir()) and not (out / "manifest.json").is_file():
        raise WrongUse(f"{out} is not empty and holds no published study: give another --out")
    with files.lock(plan.place.work / "locks" / "publish.lock"), files.explained(out):
        _refuse_strangers(plan)
        table = plan.place.work / "scores.jsonl"
        results.merge(plan.shards(), table)
        facts = manifest(plan, outcome)
        if before := _before(out, table):
            if before["fingerprint"] == facts["fingerprint"]:
                return False
            facts["cells"] = before["cells"]  # of the run that made these rows; this one only says something else about them
        _replace(out, lambda folder: _fill(folder, out, plan, table, facts, render))
    return True


def _refuse_strangers(plan: Plan) -> None:
    """Never mixes protocols: every shard was measured as this state of the study asks."""
    place, common = plan.place, cells.shared(plan.study)
    strangers = [cell.slug for cell in plan.cells if not cells.current(plan.study, cell, place, common)]
    if strangers:
        raise UserError(
            f"{len(strangers)} cells in {place.work / 'shards'} are not what this study asks for "
            f"({strangers[0]} is the first): another run of it, or another state of its file, works in the same folder; "
            "run the same command again"
        )


def _before(out: Path, table: Path) -> Mapping[str, Any] | None:
    """The published manifest where it stands beside the same scores, and is not damaged or incomplete."""
    needed = [out / name for name in ("manifest.json", "scores.jsonl", "index.html", "clips/index.json")]
    if not all(path.is_file() for path in needed) or files.digest(out / "scores.jsonl") != files.digest(table):
        return None
    try:
        found = json.loads(needed[0].read_text(encoding="utf-8"))
        return {"fingerprint": found["fingerprint"], "cells": found["cells"]}
    except (ValueError, KeyError, TypeError):
        return None


def _replace(out: Path, fill: Callable[[Path], None]) -> None:
    """`out` is renamed away only when its successor is complete; what a kill in between loses, a rerun makes again."""
    nest, old = out.with_name(f".{out.name}.new"), out.with_name(f".{out.name}.old")
    shutil.rmtree(nest, ignore_errors=True)
    try:
        fresh = nest / out.name  # under its own name already, should a page speak of it
        fresh.mkdir(parents=True)
        fill(fresh)
        shutil.rmtree(old, ignore_errors=True)
        if out.exists():
            os.replace(out, old)
        os.replace(fresh, out)
    finally:
        shutil.rmtree(nest, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _fill(folder: Path, old: Path, plan: Plan, table: Path, facts: Mapping[str, Any], render: Render) -> None:
    from salt_bench.report import voting

    shutil.copyfile(table, folder / "scores.jsonl")
    (folder / "manifest.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    _gallery(folder / "clips", plan)
    voting.carry(old, folder)  # what people said of these clips is measured, too
    render(folder)


def manifest(plan: Plan, outcome: Outcome) -> dict[str, Any]:
    """All that a reader needs to know of the numbers; arms, settings and parts stand in the study's order."""
    says = {"study": describe(plan.study), "outputs": outputs(plan.study), "protocol": protocol(plan), "scale": plan.scale}
    ran = {"cells": {"trained": outcome.trained, "reused": outcome.reused, "judged": outcome.judged}}
    where = {"commit": commit(), "versions": versions(), "device": device(), "threads": 1, "processes": processes(plan)}
    return {**says, **ran, **where, "fingerprint": record.fingerprint(json.dumps(says))}


def describe(study: Study) -> dict[str, Any]:
    """The study as JSON: identities instead of arms."""
    seed = study.train_seeds[0]
    return {
        "name": study.name,
        "question": " ".join(study.question.split()),
        "baseline": study.baseline,
        "arms": {name: record.dump(arm.identity(seed)) for name, arm in study.arms.items()},
        "anchors": {name: record.dump(arm.identity(0)) for name, arm in study.anchors.items()},
        "settings": {name: list(grid) for name, grid in study.settings.items()},
        "train_seeds": list(study.train_seeds),
        "sample_seeds": list(study.sample_seeds),
        "prompts": [{"id": p.id, "text": p.text, "tags": sorted(p.tags)} for p in study.prompts],
        "published": list(study.published),
        "notes": list(study.notes),
        "claim": None if study.claim is None else {k: v for k, v in record.dump(study.claim).items() if k != "type"},
        "expectations": [asdict(expectation) for expectation in study.expectations],
    }


def outputs(study: Study) -> dict[str, dict[str, Any]]:
    """judge → part → unit, better, margin, relative, title."""
    judges = (*study.judges, *study.setjudges, *study.probes)
    return {judge.name: {part: asdict(output) for part, output in judge.outputs.items()} for judge in judges}


def protocol(plan: Plan) -> dict[str, Any]:
    """What must be equal for two tables to be comparable."""
    study = plan.study
    clip = _first_clips(plan, Cell(study.baseline, study.train_seeds[0]))[0]
    frames, height, width, _ = clip.pixels.shape
    return {
        "prompts": record.fingerprint(list(study.prompts)),
        "settings": {name: list(grid) for name, grid in study.settings.items()},
        "train_seeds": list(study.train_seeds),
        "sample_seeds": list(study.sample_seeds),
        "clip": {"frames": frames, "size": [height, width], "fps": clip.fps},
        "judges": record.dump(cells.protocols(study)),
    }


def processes(plan: Plan) -> list[int]:
    """How many processes trained a model, every number once: scores are equal to the byte where it was one."""
    arms = [(cells.arm_of(plan.study, cell), cell.train_seed) for cell in plan.cells]
    return sorted({together.noted(arm, seed, plan.place.models) for arm, seed in arms})


def versions() -> dict[str, str]:
    """The installed packages that the numbers may depend on."""
    found = {"python": platform.python_version()}
    for name in _VERSIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit of this code, with "+" where files were changed since; "" outside of a repository."""
    try:
        git = ("git", "-C", str(Path(__file__).parent))
        head = subprocess.run((*git, "rev-parse", "HEAD"), capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run((*git, "status", "--porcelain", "-uno"), capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head + ("+" if changed.strip() else "")


def device() -> str:
    """The processor's name, as the system gives it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _first_clips(plan: Plan, cell: Cell) -> Sequence[Any]:
    study = plan.study
    return cells.saved(study, cell, plan.place, cells.settings(study, cell)[0], study.sample_seeds[0])


def chosen(prompts: Sequence[Prompt], count: int = GALLERY) -> list[int]:
    """Which prompts are shown: `count` test prompts (of all where none is for test), evenly spread over their order."""
    pool = [i for i, p in enumerate(prompts) if not cells.is_validation(p)] or list(range(len(prompts)))
    return [pool[i] for i in sorted({round(x) for x in np.linspace(0, len(pool) - 1, min(count, len(pool)))})]


def _gallery(folder: Path, plan: Plan) -> None:
    """One strip per arm and prompt: the frames side by side. As many prompts as CLIPS_BYTES allow."""
    study = plan.study
    shown = {cell.arm: cell for cell in reversed(plan.cells) if cell.train_seed in (0, study.train_seeds[0])}
    arms = {name: _first_clips(plan, shown[name]) for name in (*study.anchors, *study.arms)}
    picked = chosen(study.prompts)
    strips = {(name, i): _strip(clips[i].frames()) for i in picked for name, clips in arms.items()}
    while len(picked) > 1 and sum(len(strips[name, i]) for i in picked for name in arms) > CLIPS_BYTES:
        picked.pop()
    for name, i in ((name, i) for name in arms for i in picked):
        files.write_bytes(folder / files.slug(name) / f"{files.slug(study.prompts[i].id)}.png", strips[name, i])
    clip = next(iter(arms.values()))[0]
    index = {
        "fps": clip.fps,
        "frames": clip.pixels.shape[0],
        "size": list(clip.pixels.shape[1:3]),
        "arms": {name: files.slug(name) for name in arms},
        "prompts": {study.prompts[i].id: study.prompts[i].text for i in picked},
        "setting": next(iter(study.settings)),
        "train_seed": study.train_seeds[0],
        "sample_seed": study.sample_seeds[0],
    }
    files.write_text(folder / "index.json", json.dumps(index, indent=1, ensure_ascii=False) + "\n")


def _strip(pixels: np.ndarray) -> bytes:
    """(T, H, W, 3) side by side as one PNG (H, T·W)."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(list(pixels), axis=1)).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
