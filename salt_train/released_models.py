"""Wan 2.1 and published few-step models based on it.

An entry says where the weights are, which of a file's networks is meant, and how its authors sample it, as far as that is
written down: READMEs and configurations of the projects, and model cards. Grids are exact noise levels, as everywhere here.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from salt_bench.errors import WrongUse
from salt_train.backbones.wan import WanSpec
from salt_train.backbones.wan_image import WanImageSpec
from salt_train.caches.window import Window
from salt_train.flow import even, grid
from salt_train.published import TRANSFORMER
from salt_train.recipe import Sampling
from salt_train.rollout import Chunks
from salt_train.setups import wan21

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
    network: WanSpec | WanImageSpec = wan21.WAN_1B
    clip: tuple[int, int, int] = (81, 480, 832)
    """Frames, height and width."""
    prompts: str = DENSE_PROMPTS
    licence: str = NOT_STATED
    scores_as: str = ""
    note: str = ""

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


PICTURES = "VBench-I2V, with its pictures"
RCM_NOTE = "reproduced by Tsinghua; starts at σ = 1 where theirs is 80/81"
FASTWAN_NOTE = "trained with sparse attention, whose gate is left out: dense here"
ANYFLOW_NOTE = "a flow map: its network takes a second time, which WanTransformer3DModel does not; diffusers:{} samples it"


def _anyflow(name: str, repo: str, network: WanSpec) -> Released:
    return Released(name, repo, TRANSFORMER, None, network=network, licence="other", note=ANYFLOW_NOTE.format(repo))


def _wan(name: str, repo: str, network: WanSpec, scores: str = "") -> Released:
    """Wan 2.1 itself, whose students all others are."""
    note = "the teacher of those below; UniPC's steps there"
    return Released(name, repo, TRANSFORMER, wan21.GUIDED, network=network, licence=APACHE, scores_as=scores, note=note)


RELEASED = (
    _wan("wan21-1.3b", wan21.SMALL, wan21.WAN_1B, "Wan 2.1 1.3B"),
    _wan("wan21-14b", wan21.LARGE, wan21.WAN_14B),
    Released(
        "wan21-i2v-14b",
        wan21.ILLUSTRATED,
        TRANSFORMER,
        Sampling(even(50, 3.0), guidance=5.0),
        network=WanImageSpec(),
        prompts=PICTURES,
        licence=APACHE,
        note="the teacher of lightx2v-i2v-14b; UniPC's steps there",
    ),
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
    _anyflow("anyflow-1.3b", "nvidia/AnyFlow-Wan2.1-T2V-1.3B-Diffusers", wan21.WAN_1B),
    _anyflow("anyflow-14b", "nvidia/AnyFlow-Wan2.1-T2V-14B-Diffusers", wan21.WAN_14B),
    Released(
        "lightx2v-i2v-14b",
        "lightx2v/Wan2.1-I2V-14B-480P-StepDistill-CfgDistill-Lightx2v",
        "its whole network (.safetensors)",
        Sampling(FOUR),
        network=WanImageSpec(),
        prompts=PICTURES,
        licence=APACHE,
        scores_as="LightX2V",
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
