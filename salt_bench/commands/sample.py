"""`salt-bench sample`: an arm in, a folder of videos out, named as VBench names them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salt_bench.commands.choices import INTERRUPTED, WEIGHTS, Suite
from salt_bench.commands.output import say
from salt_bench.commands.progress import progress
from salt_bench.errors import WrongUse
from salt_bench.prompts.base import Size

if TYPE_CHECKING:
    from salt_bench.types import Arm, Log, Prompt

RECORD = ".sampling.json"
"""Beside the videos: what they were made with."""


def register(app: typer.Typer) -> None:
    """Adds the command of this file."""
    app.command()(sample)


def sample(
    arm: Annotated[
        str, typer.Argument(help="A checkpoint's folder, released:NAME or diffusers:PIPELINE@…", show_default=False)
    ],
    out: Annotated[Path, typer.Argument(help="The folder of videos.", show_default=False)],
    captions: Annotated[Path | None, typer.Option(help="Ask these, one per line.", show_default="none")] = None,
    suite: Annotated[Suite | None, typer.Option(help="Ask what this benchmark asks.", show_default="none")] = None,
    size: Annotated[Size, typer.Option(help="How much of the suite.")] = Size.full,
    rewritten: Annotated[
        Path | None, typer.Option(help="vbench: what models are told instead, a line for each row.", show_default="none")
    ] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="Videos of each prompt.", show_default="the suite's, or 1")] = None,
    lossless: Annotated[bool, typer.Option("--lossless", help="The very frames, in larger files of rarer H.264.")] = False,
    weights: Annotated[Path, typer.Option(help="Folder of VBench's weights and prompts.")] = WEIGHTS,
    runs: Annotated[Path, typer.Option(help="Work folder of checkpoints and codecs.")] = Path("runs"),
) -> None:
    """Make ARM's videos, <prompt text>-<sample>.mp4, for `salt-bench judge`. Stop it at any time: the same command goes on.

    Settings follow ARM behind an @: diffusers:DIR@steps=4,guidance=1,frames=81 or released:longlive@DIR,frames=161. A wrong one
    lists them all.
    """
    from salt_bench import registry, videos

    asked = _asked(captions, suite, size, rewritten, weights.expanduser())
    job = Job(
        registry.arm(arm), out, asked.prompts, samples or asked.samples, runs, videos.LOSSLESS if lossless else videos.USUAL
    )
    _claim(job, rewritten)
    try:
        with progress() as log:
            count = _make(job, log)
    except KeyboardInterrupt:
        say("\nstopped; nothing finished is lost: the same command goes on where this one stopped")
        raise typer.Exit(INTERRUPTED) from None
    say(f"{len(job.prompts) * job.samples} videos in {out}, {count} of them new")


@dataclass(frozen=True)
class Asked:
    """Prompts, and how many videos each of them usually has."""

    prompts: tuple[Prompt, ...]
    samples: int


@dataclass(frozen=True)
class Job:
    """Videos of `arm` in `out`: `samples` of each prompt, at sample seeds 0, 1 …"""

    arm: Arm
    out: Path
    prompts: tuple[Prompt, ...]
    samples: int
    runs: Path
    encoding: Mapping[str, str]

    def path(self, prompt: Prompt, seed: int) -> Path:
        from salt_bench.prompts.names import file_name

        return self.out / file_name(prompt.text, seed)

    def left(self, seed: int) -> list[Prompt]:
        """The prompts that have no video at `seed` yet."""
        return [prompt for prompt in self.prompts if not self.path(prompt, seed).is_file()]


def _asked(captions: Path | None, suite: Suite | None, size: Size, rewritten: Path | None, weights: Path) -> Asked:
    from salt_bench.judges.vbench import official
    from salt_bench.prompts import base, vbench
    from salt_bench.prompts import captions as own

    if rewritten and suite not in (Suite.vbench, Suite.vbench_long):
        raise WrongUse("--rewritten is for the prompts of --suite vbench or vbench_long")

    if captions and suite is None:
        return Asked(own.read(captions), 1)
    if captions or suite is None:
        raise WrongUse("give --captions FILE or --suite NAME: one of them says what is asked")
    if rewritten is None:
        found = official.suite(weights, suite.value, size)
    else:  # lines belong to the rows of the whole suite
        whole = vbench.augmented(official.suite(weights, suite.value, Size.full), rewritten)
        found = base.thinned(whole, size, base.by_dimensions, step=2)
    return Asked(found.prompts(), found.samples)


def _claim(job: Job, rewritten: Path | None) -> None:
    """Says beside the videos what they are made with. WrongUse where videos of something else are there."""
    from salt_bench import files, record

    arm, path = job.arm, job.out / RECORD
    arm.prepare(0, job.runs, lambda stage, share: None)
    said = {"arm": arm.identity(0), "evidence": arm.evidence(0, job.runs), "sampler": arm.protocol(), "video": job.encoding}
    told = {"rewritten": files.digest(rewritten)} if rewritten else {}
    now = json.loads(record.text(said | told))
    if path.is_file() and json.loads(path.read_text()) != now:
        raise WrongUse(f"{job.out} holds videos of another arm, or made in another way ({path} says how): name a new folder")
    if not path.is_file() and job.out.is_dir() and any(job.out.iterdir()):
        raise WrongUse(f"{job.out} is not empty and does not say what its videos are of: name a new folder")
    files.write_text(path, json.dumps(now, indent=1, ensure_ascii=False) + "\n")


def _make(job: Job, log: Log) -> int:
    """Makes the videos that are not there, seed by seed: how many."""
    from salt_bench import files, videos

    left = {seed: found for seed in range(job.samples) if (found := job.left(seed))}
    if not left:
        return 0
    done, total = 0, sum(map(len, left.values()))
    sampler = job.arm.sampler(0, job.runs)
    for seed, prompts in left.items():
        for prompt, clip in zip(prompts, sampler([_said(p) for p in prompts], seed), strict=True):
            files.write_bytes(job.path(prompt, seed), videos.encoded(clip, job.encoding))
            done += 1
            log("sample", done / total)
    return done


def _said(prompt: Prompt) -> Prompt:
    """The prompt as a model is given it: under its own id, in the words that its suite has for models."""
    return replace(prompt, text=prompt.factors.get("said", prompt.text))
