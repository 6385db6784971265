"""Published few-step models based on Wan 2.1, each an arm once its file is fetched and converted.

An entry says where the weights are, which of a file's networks is meant, and how its authors sample it, as far as that is
written down: READMEs and configurations of the projects, and model cards. Grids are exact noise levels, as everywhere here.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from salt_bench.errors import UserError, WrongUse
from salt_train.backbones.wan import WanSpec
from salt_train.caches.window import Window
from salt_train.codecs.wan_vae import WanVAE
from salt_train.flow import even, grid
from salt_train.published import TRANSFORMER
from salt_train.recipe import Recipe, Sampling
from salt_train.rollout import Chunks
from salt_train.setups import wan21

PREFIX = "released:"
FOLDER = Path("runs/released")
"""Where `released:NAME` looks for NAME's folder; `released:NAME@FOLDER` names another."""
NOT_STATED = "not stated"
DENSE_PROMPTS = "MovieGenVideoBench_extended.txt; VBench all_dimension_extended.txt"

RAW4, RAW2 = (1000, 750, 500, 250), (1000, 500)
FOUR, TWO = grid(RAW4, wan21.SHIFT), grid(RAW2, wan21.SHIFT)
REAL3 = (1.0, 0.757, 0.522)
"""CausVid's and FastWan's list 1000, 757, 522: noise levels as they are, no shift is applied to them."""
ANGLES = (1.5, 1.4, 1.0)
"""rCM's steps after the first, as angles τ: x_τ = cos τ·x_0 + sin τ·ε."""
RCM = (1.0, *(math.sin(t) / (math.cos(t) + math.sin(t)) for t in ANGLES))


def _chunked(size: int, levels: tuple[float, ...] = FOUR, first: tuple[float, ...] = ()) -> Sampling:
    """Fresh noise between steps, chunk by chunk, everything remembered."""
    return Sampling(levels, update="sde", chunks=Chunks(size=size, first_grid=first))


CHUNKWISE, FRAMEWISE = _chunked(3), _chunked(1)
WINDOWED = Sampling(FOUR, update="sde", chunks=Chunks(size=3, cache=Window(window=12, sink=3)))
MULTISTEP = Sampling(even(50, wan21.SHIFT), guidance=5.0, chunks=Chunks(size=3))
"""An autoregressive teacher; its authors take UniPC's steps where these are Euler's."""
FRAMEWISE_MULTISTEP = replace(MULTISTEP, chunks=Chunks(size=1))


@dataclass(frozen=True)
class Released:
    """One published model. `repo` and `file` are a hub's names, `take` is the network of the file that its authors run, `lora`
    a file beside it that is merged in, `without` what is left out of its keys. `sampling` is None where the authors' way to run
    it cannot be said here; `note` says why, and whatever differs from theirs. `scores_as` is what the table of published
    scores calls it, "" where it has none."""

    name: str
    repo: str
    file: str
    sampling: Sampling | None
    take: str = ""
    lora: str = ""
    without: tuple[str, ...] = ()
    network: WanSpec = wan21.WAN_1B
    clip: tuple[int, int, int] = (81, 480, 832)
    """Frames, height and width."""
    prompts: str = DENSE_PROMPTS
    licence: str = NOT_STATED
    scores_as: str = ""
    note: str = ""

    @property
    def steps(self) -> str:
        """How it is sampled, in a few words."""
        if self.sampling is None:
            return "cannot be sampled here"
        chunks = self.sampling.chunks
        how = f"{len(self.sampling.grid)} {self.sampling.update} steps"
        return how if chunks is None else f"{how}, chunks of {chunks.size}, {type(chunks.cache).__name__}"

    def fetch(self, folder: Path) -> str:
        """What to do where its weights are not in `folder`."""
        options = [f"--take {self.take}"] * bool(self.take) + [f"--without {text}" for text in self.without]
        options += [f"--lora {Path(self.lora).name}"] * bool(self.lora)
        files = " and ".join(filter(None, (self.file, self.lora)))
        command = " ".join(["salt-train convert", Path(self.file).name, str(folder), *options])
        return f"fetch {files} of {self.repo} (Hugging Face), then: {command}"


SELF_FORCING = "gdhe17/Self-Forcing"
CAUSAL_FORCING = "zhuhz22/Causal-Forcing"
APACHE = "Apache-2.0"


def _causal_forcing(
    name: str, file: str, sampling: Sampling | None, take: str = "", scores: str = "", note: str = ""
) -> Released:
    return Released(f"causal-forcing{name}", CAUSAL_FORCING, file, sampling, take, licence=APACHE, scores_as=scores, note=note)


def _staged(name: str, folder: str, few: Sampling, many: Sampling) -> Iterator[Released]:
    """The stages before the last of Causal Forcing, chunk by chunk or frame by frame."""
    yield _causal_forcing(
        f"{name}-ar", f"{folder}/ar_diffusion.pt", many, "generator", note="a multi-step teacher; UniPC there"
    )
    yield _causal_forcing(f"{name}-ode", f"{folder}/causal_ode.pt", few)
    yield _causal_forcing(f"{name}-cd", f"{folder}/causal_cd.pt", few)


RCM_NOTE = "reproduced by Tsinghua; starts at σ = 1 where theirs is 80/81"
FASTWAN_NOTE = "trained with sparse attention, whose gate is left out: dense here"
ANYFLOW_NOTE = "a flow map: its network takes a second time, which WanTransformer3DModel does not"

RELEASED = (
    Released(
        "self-forcing", SELF_FORCING, "checkpoints/self_forcing_dmd.pt", CHUNKWISE, "generator_ema", scores_as="Self Forcing"
    ),
    Released("self-forcing-sid", SELF_FORCING, "checkpoints/self_forcing_sid.pt", CHUNKWISE, "generator_ema"),
    Released("self-forcing-ode", SELF_FORCING, "checkpoints/ode_init.pt", CHUNKWISE, note="where Self Forcing starts"),
    _causal_forcing("", "chunkwise/causal_forcing.pt", CHUNKWISE, "generator", "Causal Forcing"),
    *_staged("", "chunkwise", CHUNKWISE, MULTISTEP),
    _causal_forcing("-framewise", "framewise/causal_forcing.pt", FRAMEWISE, "generator_ema"),
    *_staged("-framewise", "framewise", FRAMEWISE, FRAMEWISE_MULTISTEP),
    _causal_forcing("++-2step", "causal-forcing++/framewise-2step.pt", _chunked(1, TWO, FOUR), "generator_ema"),
    _causal_forcing("++-1step", "causal-forcing++/framewise-1step.pt", _chunked(1, (1.0,), FOUR), "generator_ema"),
    _causal_forcing("-long", "chunkwise/longvideo.pt", None, note="denoises four chunks at once at staggered noise levels"),
    Released(
        "longlive",
        "Efficient-Large-Model/LongLive-1.3B",
        "models/longlive_base.pt",
        WINDOWED,
        "generator",
        lora="models/lora.pt",
        scores_as="LongLive",
    ),
    Released(
        "salt-causal-forcing",
        "domiso/Salt",
        "checkpoints/salt_cf.pt",
        CHUNKWISE,
        "generator_ema",
        licence="other (those of its bases)",
        scores_as="Salt + Causal Forcing",
        note="made for 2 steps too",
    ),
    Released(
        "salt-longlive",
        "domiso/Salt",
        "checkpoints/salt_ll.pt",
        WINDOWED,
        "generator",
        licence="other (those of its bases)",
        scores_as="Salt + LongLive",
    ),
    Released(
        "causvid",
        "tianweiy/CausVid",
        "autoregressive_checkpoint/model.pt",
        _chunked(3, REAL3),
        "generator",
        licence="CC BY-NC 4.0",
        scores_as="CausVid",
    ),
    Released(
        "causvid-4step",
        "tianweiy/CausVid",
        "autoregressive_checkpoint_warp_4step_cfg2/model.pt",
        _chunked(3, grid(RAW4, 8.0)),
        "generator",
        licence="CC BY-NC 4.0",
    ),
    Released(
        "rcm-1.3b",
        "worstcoder/rcm-Wan",
        "rCM_Wan2.1_T2V_1.3B_480p.pt",
        Sampling(RCM, update="sde"),
        without=("accum_",),
        clip=(77, 480, 832),
        licence=APACHE,
        scores_as="rCM",
        note=RCM_NOTE,
    ),
    Released(
        "rcm-14b",
        "worstcoder/rcm-Wan",
        "rCM_Wan2.1_T2V_14B_480p.pt",
        Sampling(RCM, update="sde"),
        without=("accum_",),
        network=wan21.WAN_14B,
        licence=APACHE,
        note=RCM_NOTE,
    ),
    Released(
        "fastwan-1.3b",
        "FastVideo/FastWan2.1-T2V-1.3B-Diffusers",
        TRANSFORMER,
        Sampling(REAL3, update="sde"),
        without=("to_gate_compress",),
        clip=(61, 448, 832),
        licence=APACHE,
        note=FASTWAN_NOTE,
    ),
    Released(
        "fastwan-14b",
        "FastVideo/FastWan2.1-T2V-14B-Diffusers",
        TRANSFORMER,
        Sampling(REAL3, update="sde"),
        without=("to_gate_compress",),
        network=wan21.WAN_14B,
        clip=(61, 448, 832),
        licence=APACHE,
        note=FASTWAN_NOTE,
    ),
    Released("anyflow-1.3b", "nvidia/AnyFlow-Wan2.1-T2V-1.3B-Diffusers", TRANSFORMER, None, licence="other", note=ANYFLOW_NOTE),
    Released(
        "anyflow-14b",
        "nvidia/AnyFlow-Wan2.1-T2V-14B-Diffusers",
        TRANSFORMER,
        None,
        network=wan21.WAN_14B,
        licence="other",
        note=ANYFLOW_NOTE,
    ),
)


def find(name: str) -> Released:
    """The entry called `name`.

    Raises WrongUse, with the near name, where there is none."""
    known = {entry.name: entry for entry in RELEASED}
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        raise WrongUse(
            f"no released model {name!r}; " + (f"did you mean {near[0]!r}?" if near else "see salt-train list --released")
        )
    return known[name]


def arm(name: str, folder: Path, pipeline: str = wan21.SMALL) -> Recipe:
    """The recipe of a released model whose converted weights are in `folder`; VAE and text encoder are those of `pipeline`, a
    folder in diffusers' layout or a hub's name.

    Raises WrongUse where there is no such model, or where it cannot be sampled here."""
    entry = find(name)
    if entry.sampling is None:
        raise WrongUse(f"{name} is not sampled here: {entry.note}; its weights can be inspected, not run")
    frames, height, width = entry.clip
    base = wan21.released(str(folder), replace(entry.network, timeless=entry.sampling.chunks is not None))
    text = replace(base.text, source=pipeline) if base.text else None
    return replace(base, sampling=entry.sampling, codec=WanVAE(pipeline, frames, height, width), text=text)


def released_arm(word: str) -> Recipe | None:
    """The arm that "released:NAME" or "released:NAME@FOLDER" on the command line stands for; None for any other word.

    Raises UserError, with what to fetch and how, where the folder holds no converted weights."""
    if not word.startswith(PREFIX):
        return None
    name, _, place = word.removeprefix(PREFIX).partition("@")
    folder = Path(place) if place else FOLDER / name
    made = arm(name, folder)
    if not any((folder / TRANSFORMER).glob("*.safetensors")):
        raise UserError(f"{word} has no weights in {folder}: {find(name).fetch(folder)}")
    return made


def listing() -> Iterator[str]:
    """Every released model in a few lines."""
    for entry in RELEASED:
        yield entry.name
        said = {"weights": f"{entry.repo} {entry.file}", "take": entry.take, "lora": entry.lora, "sampled": entry.steps}
        said |= {"licence": entry.licence, "scores": entry.scores_as, "note": entry.note}
        yield from (f"    {what:<8} {how}" for what, how in said.items() if how)
