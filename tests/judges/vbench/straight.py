"""VBench's dimensions as one reads their description: one decode per dimension, one frame or pair at a time, library code.

An independent second opinion on the numbers, and the baseline of the speed measurements.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torchvision.models.optical_flow import raft_large
from torchvision.transforms import InterpolationMode
from torchvision.transforms import v2 as T

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
CLIP = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])


def frames(path: Path) -> tuple[list[np.ndarray], float]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)], float(stream.average_rate)


def pixels(frame: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frame).permute(2, 0, 1)[None].float()


def temporal_flickering(path: Path) -> float:
    film, _ = frames(path)
    means = [np.abs(a.astype(float) - b.astype(float)).mean() for a, b in itertools.pairwise(film)]
    return (255.0 - float(np.mean(means))) / 255.0


def consistency(features: list[torch.Tensor]) -> float:
    total = 0.0
    for n in range(1, len(features)):
        before, first = (F.cosine_similarity(features[n], features[k], dim=-1).item() for k in (n - 1, 0))
        total += (max(0.0, before) + max(0.0, first)) / 2
    return total / (len(features) - 1)


def subject_consistency(path: Path, net: Callable[[torch.Tensor], torch.Tensor]) -> float:
    prepare = T.Compose(
        [T.Resize(224, InterpolationMode.BILINEAR, antialias=False), T.Lambda(lambda x: x / 255), T.Normalize(*IMAGENET)]
    )
    with torch.no_grad():
        return consistency([net(prepare(pixels(frame))) for frame in frames(path)[0]])


def clip_prepare(side: int) -> T.Compose:
    resize = T.Resize(side, InterpolationMode.BICUBIC, antialias=False)
    return T.Compose([resize, T.CenterCrop(side), T.Lambda(lambda x: x / 255), T.Normalize(*CLIP)])


def background_consistency(path: Path, model: Any, side: int = 224) -> float:
    with torch.no_grad():
        return consistency([model.encode_image(clip_prepare(side)(pixels(frame))) for frame in frames(path)[0]])


def aesthetic_quality(path: Path, model: Any, head: dict[str, torch.Tensor], side: int = 224) -> float:
    scores = []
    with torch.no_grad():
        for frame in frames(path)[0]:
            feature = F.normalize(model.encode_image(clip_prepare(side)(pixels(frame))), dim=-1)
            scores.append(F.linear(feature, head["weight"], head["bias"]).item() / 10)
    return float(np.mean(scores))


def appearance_style(path: Path, model: Any, tokens: torch.Tensor, side: int = 224) -> float:
    prepare = T.Compose(
        [T.Resize(side, InterpolationMode.BICUBIC), T.CenterCrop(side), T.ToImage(), T.ToDtype(torch.float32, scale=True)]
    )
    scores = []
    with torch.no_grad():
        for frame in frames(path)[0]:
            image = T.Normalize(*CLIP)(prepare(Image.fromarray(frame)))[None]
            feature = F.cosine_similarity(model.encode_image(image), model.encode_text(tokens))
            scores.append(model.logit_scale.exp().item() * feature.item() / 100)
    return float(np.mean(scores))


def speed(net: Any, first: np.ndarray, second: np.ndarray, share: float) -> float:
    height, width = first.shape[:2]
    down, right = -height % 8, -width % 8
    edges = (right // 2, right - right // 2, down // 2, down - down // 2)
    images = [F.pad(2 * (pixels(frame) / 255) - 1, edges, mode="replicate") for frame in (first, second)]
    with torch.no_grad():
        flow = net(*images, num_flow_updates=20)[-1][0]
    lengths = np.sort(np.hypot(*flow.numpy()).flatten())[::-1]
    return float(lengths[: int(len(lengths) * share)].mean())


def dynamic_degree(path: Path, net: Any) -> tuple[bool, list[float]]:
    film, fps = frames(path)
    film = film[:: max(1, round(fps / 8))]
    speeds = [speed(net, a, b, 0.05) for a, b in itertools.pairwise(film)]
    fast = sum(one > 6.0 * min(film[0].shape[:2]) / 256 for one in speeds)
    return fast >= round(4 * len(film) / 16), speeds


def static_filter(path: Path, net: Any) -> tuple[bool, list[float]]:
    film, _ = frames(path)
    pairs = [*itertools.pairwise(film), (film[0], film[-1]), (film[-1], film[0])]
    speeds = [speed(net, a, b, 0.02) for a, b in pairs]
    limit, most = 3.0 * min(film[0].shape[:2]) / 256, round(2 * len(film) / 16)
    moving = sum(one > limit for one in speeds[:-2]) > most
    return not moving and not any(one > limit * most * 2 for one in speeds[-2:]), speeds


def raft(state: dict[str, torch.Tensor]) -> Any:
    """torchvision's network from its own state dict."""
    net = raft_large(weights=None)
    net.load_state_dict(state)
    return net.eval()


def clip(state: dict[str, torch.Tensor], **sizes: Any) -> Any:
    """open_clip's network from a state dict; `sizes` are embed_dim, vision_cfg and text_cfg."""
    from open_clip.model import CLIP as Network

    net = Network(quick_gelu=True, **sizes)
    net.load_state_dict({name: value.float() for name, value in state.items()}, strict=False)
    return net.eval()


def dino(state: dict[str, torch.Tensor], width: int, depth: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """timm's ViT blocks, with DINO's own stretching of the positions around them."""
    from timm.models.vision_transformer import VisionTransformer

    net = VisionTransformer(img_size=224, embed_dim=width, depth=depth, num_heads=width // 64, num_classes=0)
    net.load_state_dict(state)
    net.eval()

    def feature(image: torch.Tensor) -> torch.Tensor:
        grid = net.patch_embed.proj(image)
        rows, columns = grid.shape[-2:]
        table = net.pos_embed[:, 1:].reshape(1, 14, 14, width).permute(0, 3, 1, 2)
        if (rows, columns) != (14, 14):
            table = F.interpolate(table, scale_factor=((rows + 0.1) / 14, (columns + 0.1) / 14), mode="bicubic")
        x = torch.cat(
            [(net.cls_token + net.pos_embed[:, :1]).expand(len(image), -1, -1), (grid + table).flatten(2).transpose(1, 2)],
            dim=1,
        )
        return net.norm(net.blocks(x))[:, 0]

    return feature


def imaging_quality(path: Path, net: Callable[[torch.Tensor], torch.Tensor]) -> float:
    """MUSIQ is the project's own: no library has it."""
    scores = []
    with torch.no_grad():
        for frame in frames(path)[0]:
            image, ratio = pixels(frame), 512 / max(frame.shape[:2])
            if ratio < 1:
                small = (int(ratio * frame.shape[0]), int(ratio * frame.shape[1]))
                image = F.interpolate(image, small, mode="bilinear", align_corners=False)
            scores.append(net(image / 255).item())
    return float(np.mean(scores))


def motion_smoothness(path: Path, net: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> float:
    """AMT is the project's own, too."""
    film, errors = frames(path)[0], []
    height, width = film[0].shape[:2]
    down, right = -height % 16, -width % 16
    edges = (right // 2, right - right // 2, down // 2, down - down // 2)
    for before, true, after in zip(film[::2], film[1::2], film[2::2], strict=False):
        pair = [F.pad(pixels(frame) / 255, edges, mode="replicate") for frame in (before, after)]
        with torch.no_grad():
            guess = net(*pair)[0, :, edges[2] : edges[2] + height, edges[0] : edges[0] + width]
        errors.append(np.abs((guess * 255).byte().permute(1, 2, 0).numpy().astype(int) - true).mean())
    return (255 - float(np.mean(errors))) / 255


def middle(film: list[np.ndarray], count: int) -> list[np.ndarray]:
    """`count` frames from the middles of equal stretches of a film that is long enough."""
    edges = [int(edge) for edge in np.linspace(0, len(film), count + 1)]
    return [film[(a + b - 1) // 2] for a, b in itertools.pairwise(edges)]


def human_action(path: Path, net: Callable[[torch.Tensor], torch.Tensor]) -> np.ndarray:
    """The probabilities of all actions; the network is the project's own."""
    import cv2

    shown = middle(frames(path)[0], 16)
    height, width = shown[0].shape[:2]
    size = (256, int(256 * height / width)) if width < height else (int(256 * width / height), 256)
    prepare = T.Compose([T.CenterCrop(224), T.Lambda(lambda x: x / 255), T.Normalize(*IMAGENET)])
    clip = torch.cat([prepare(pixels(cv2.resize(frame, size))) for frame in shown])
    with torch.no_grad():
        return net(clip.transpose(0, 1)[None])[0].sigmoid().numpy()


def overall_consistency(path: Path, video: Any, text: Any, tokens: torch.Tensor) -> float:
    """ViCLIP's towers are the project's own."""
    resize = T.Resize(224, InterpolationMode.BICUBIC, antialias=False)
    prepare = T.Compose([resize, T.CenterCrop(224), T.ToDtype(torch.float32, scale=True), T.Normalize(*CLIP)])
    clip = torch.cat([prepare(pixels(frame).byte()) for frame in middle(frames(path)[0], 8)])
    with torch.no_grad():
        return F.cosine_similarity(video(clip.transpose(0, 1)[None]), text(tokens)).item()
