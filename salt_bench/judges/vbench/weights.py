"""The official weight files: where VBench keeps them, where they come from, under which licence, and which bytes they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from salt_bench import files
from salt_bench.errors import UserError, WrongUse


@dataclass(frozen=True)
class Weight:
    """One file. `path` is its place in VBench's cache folder; `source` where it comes from, as an address where it can be
    fetched; `member` its name in the zip that lies there, "" where the file itself does; `sha256` the known beginning of its
    digest, "" where unknown."""

    name: str
    path: str
    source: str
    megabytes: int
    licence: str
    commercial: bool
    used_by: str
    sha256: str = ""
    member: str = ""

    def __str__(self) -> str:
        use = "" if self.commercial else ", NON-COMMERCIAL USE ONLY"
        return f"{self.path} (about {self.megabytes} MB, {self.licence}{use}, from {self.source})"


_HUB = "https://huggingface.co/OpenGVLab/VBench_Used_Models/resolve/main"
_CLIP = "https://openaipublic.azureedge.net/clip/models"
_CLIP_B = "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"
_CLIP_L = "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"

TABLE = (
    Weight(
        "dino",
        "dino_model/dino_vitbase16_pretrain.pth",
        "https://dl.fbaipublicfiles.com/dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth",
        343,
        "Apache-2.0",
        True,
        "subject_consistency, i2v_subject",
    ),
    Weight(
        "clip_b32",
        "clip_model/ViT-B-32.pt",
        f"{_CLIP}/{_CLIP_B}/ViT-B-32.pt",
        354,
        "MIT",
        True,
        "background_consistency, appearance_style",
        _CLIP_B,
    ),
    Weight(
        "clip_l14",
        "clip_model/ViT-L-14.pt",
        f"{_CLIP}/{_CLIP_L}/ViT-L-14.pt",
        933,
        "MIT",
        True,
        "aesthetic_quality",
        _CLIP_L,
    ),
    Weight(
        "laion",
        "aesthetic_model/emb_reader/sa_0_4_vit_l_14_linear.pth",
        "https://github.com/LAION-AI/aesthetic-predictor/raw/main/sa_0_4_vit_l_14_linear.pth",
        1,
        "MIT",
        True,
        "aesthetic_quality",
    ),
    Weight(
        "raft",
        "raft_model/models/raft-things.pth",
        "https://dl.dropboxusercontent.com/s/4j4z58wuv8o0mfz/models.zip",
        21,
        "BSD-3-Clause",
        True,
        "dynamic_degree, static_filter",
        member="models/raft-things.pth",
    ),
    Weight(
        "amt",
        "amt_model/amt-s.pth",
        "https://huggingface.co/lalala125/AMT/resolve/main/amt-s.pth",
        12,
        "CC BY-NC 4.0",
        False,
        "motion_smoothness",
    ),
    Weight(
        "musiq",
        "pyiqa_model/musiq_spaq_ckpt-358bb6af.pth",
        "https://github.com/chaofengc/IQA-PyTorch/releases/download/v0.1-weights/musiq_spaq_ckpt-358bb6af.pth",
        108,
        "not stated for the file; its package is PolyForm Noncommercial 1.0",
        False,
        "imaging_quality",
        "358bb6af",
    ),
    Weight(
        "viclip",
        "ViCLIP/ViClip-InternVid-10M-FLT.pth",
        f"{_HUB}/ViClip-InternVid-10M-FLT.pth",
        1710,
        "see the source",
        True,
        "overall_consistency, temporal_style",
    ),
    Weight(
        "umt",
        "umt_model/l16_ptk710_ftk710_ftk400_f16_res224.pth",
        f"{_HUB}/l16_ptk710_ftk710_ftk400_f16_res224.pth",
        1220,
        "see the source",
        True,
        "human_action",
    ),
    Weight(
        "grit",
        "grit_model/grit_b_densecap_objectdet.pth",
        f"{_HUB}/grit_b_densecap_objectdet.pth",
        840,
        "MIT",
        True,
        "object_class, multiple_objects, color, spatial_relationship",
    ),
    Weight(
        "tag2text",
        "caption_model/tag2text_swin_14m.pth",
        "https://huggingface.co/spaces/xinyu1205/recognize-anything/resolve/main/tag2text_swin_14m.pth",
        4480,
        "Apache-2.0",
        True,
        "scene",
    ),
    Weight(
        "tag_list",
        "caption_model/tag2text_tag_list.txt",
        "tag_class.py of https://github.com/Vchitect/VBench, one tag a line",
        1,
        "Apache-2.0",
        True,
        "scene",
    ),
    Weight(
        "bert_vocab",
        "bert-base-uncased/vocab.txt",
        "https://huggingface.co/google-bert/bert-base-uncased/resolve/main/vocab.txt",
        1,
        "Apache-2.0",
        True,
        "object_class, multiple_objects, color, spatial_relationship, scene",
    ),
)


def weight(name: str) -> Weight:
    """The entry called `name`. Raises KeyError."""
    return {one.name: one for one in TABLE}[name]


def locate(folder: Path, name: str) -> Path:
    """The file of `name` below the cache folder. Raises WrongUse where it is missing."""
    need(folder, [name])
    return folder / weight(name).path


def need(folder: Path, names: Iterable[str]) -> None:
    """Raises WrongUse that lists all of the files that are missing, their sources and the remedy."""
    missing = [weight(name) for name in names if not (folder / weight(name).path).is_file()]
    if missing:
        listed = "".join(f"\n  {one}" for one in missing)
        raise WrongUse(f"{len(missing)} weight files are missing below {folder}; put them there, or give --weights:{listed}")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns whatever is raised by reading weights, or by putting them into a network, into a UserError that names the file:
    with wrong weights no video can be judged, so the run ends."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path} does not hold the weights that belong there ({said}): fetch it again") from error


@dataclass(frozen=True)
class Check:
    """`state`: "released" (the digest is the known one), "there" (no digest is known), "other bytes" or "missing"."""

    weight: Weight
    state: str
    sha256: str


def verify(folder: Path) -> Iterator[Check]:
    """Every file of the table, looked for below `folder`, digests included (seconds per gigabyte)."""
    for one in TABLE:
        path = folder / one.path
        sha = files.digest(path) if path.is_file() else ""
        yield Check(one, _state(one, sha), sha)


def _state(one: Weight, sha: str) -> str:
    if not sha:
        return "missing"
    if not one.sha256:
        return "there"
    return "released" if sha.startswith(one.sha256) else "other bytes"
