"""VBench-I2V's subject: whether a video keeps to the picture that it was made from, and to itself, as DINO sees it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from salt_bench import files
from salt_bench.judges.vbench import features, weights
from salt_bench.judges.vbench.base import Dimension, Found, Frameless, Judged, Pass, Refused, Running, Setup, Video
from salt_bench.judges.vbench.decode import said
from salt_bench.judges.vbench.networks import dino
from salt_bench.judges.vbench.resizing import IMAGENET, centre, floats, normalised, pil_square, shorten

_SHORT, _SIDE = 256, 224
NEAREST, ON_AVERAGE, WORST = 0.4, 0.3, 0.3
"""What counts how much: the frame that is nearest to the picture, the mean step from frame to frame, the worst one."""


class DinoSquares(Pass):
    """rows (T, 768): DINO ViT-B/16's class token of all frames' 224 x 224 middles, brought to a short side of 256 before, which
    here is done with antialiasing."""

    name: ClassVar[str] = "dino_squares"
    weights: ClassVar[tuple[str, ...]] = ("dino",)

    def start(self, video: Video) -> Running:
        return features.Collected(self._look, self.setup.device)

    def _look(self, frames: np.ndarray) -> np.ndarray:
        return _see(self.setup, centre(shorten(floats(frames, self.setup.device), _SHORT, "bicubic", antialias=True), _SIDE))


class InputImage(Frameless):
    """image (768,): the same of the picture that the video was made from, resized by PIL."""

    name: ClassVar[str] = "dino_input_image"
    weights: ClassVar[tuple[str, ...]] = ("dino",)

    @classmethod
    def reads(cls, video: Video) -> str:
        """The picture's bytes: another picture under the same name is another result."""
        return files.digest(video.image) if video.image else ""

    def found(self, video: Video) -> Found:
        if video.image is None:
            raise Refused(f"no input image {wanted(video)!r}: give the folder that holds it by --images")
        return {"image": _see(self.setup, floats(_opened(video.image)[None], self.setup.device))[0]}


class I2vSubject(Dimension):
    """How near the nearest frame is to the input image, and how alike successive frames are, on average and at worst."""

    name: ClassVar[str] = "i2v_subject"
    passes: ClassVar[tuple[type[Pass], ...]] = (InputImage, DinoSquares)

    def __call__(self, video: Video, found: Mapping[type[Pass], Found]) -> Judged:
        return score(found[InputImage]["image"], found[DinoSquares]["rows"])


def score(image: np.ndarray, frames: np.ndarray) -> Judged:
    """0.4 · max a + 0.3 · mean c + 0.3 · min c, of features (D,) and (T, D): a_t = max(0, cos(image, f_t)) and
    c_t = max(0, cos(f_{t-1}, f_t)). A video counts once, however long it is."""
    rows = torch.from_numpy(frames).double()
    near = F.cosine_similarity(rows, torch.from_numpy(image).double()[None], dim=-1).clamp(min=0)
    steps = F.cosine_similarity(rows[1:], rows[:-1], dim=-1).clamp(min=0)
    if not len(steps):
        return Judged(None, note="a single frame has nothing to agree with")
    return Judged(float(NEAREST * near.max() + ON_AVERAGE * steps.mean() + WORST * steps.min()))


def wanted(video: Video) -> str:
    """The name of the image that a video wants: the suite's, or its prompt's."""
    return str(video.auxiliary.get("i2v_subject", {}).get("image_name") or f"{video.text}.jpg")


def _see(setup: Setup, squares: torch.Tensor) -> np.ndarray:
    """Features (t, 768) of (t, 3, 224, 224), 0 to 255."""
    net = dino.load(weights.locate(setup.weights, "dino"), setup.device)
    return net(normalised(squares / 255, IMAGENET)).cpu().numpy()


def _opened(path: Path) -> np.ndarray:
    """The picture as a network sees it, uint8 (224, 224, 3). Whatever damaged bytes make PIL raise is the file's fault."""
    try:
        with Image.open(path) as image:
            return pil_square(image.convert("RGB"), _SHORT, _SIDE)
    except Exception as error:
        raise Refused(f"its input image {path.name!r} is not readable: {said(error)}") from error
