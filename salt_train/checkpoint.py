"""A checkpoint is a folder: student.safetensors, log.jsonl and, written last, recipe.json. Half a folder is no checkpoint."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from salt_bench import files
from salt_bench.errors import UserError
from salt_train.weights import Stored, load

WEIGHTS, LOG, RECIPE, RESUME = "student.safetensors", "log.jsonl", "recipe.json", "resume.pt"
LORA = "lora.safetensors"  # beside the weights, where low-rank changes learned: these, which the weights have in them
UNFINISHED = ".resume.tmp"  # a folder of several processes that is still being written
PRETRAINED = Path(__file__).parent / "pretrained"


class CheckpointError(UserError):
    """A checkpoint that is missing, truncated, foreign or unsafe; the message names the file and the remedy."""


def find(fingerprint: str, root: Path) -> Path | None:
    """The finished checkpoint of that name: shipped with the package, or under `root`."""
    return next((p for p in (PRETRAINED / fingerprint, root / fingerprint) if finished(p)), None)


def shipped(fingerprint: str) -> bool:
    """Whether the checkpoint of that name comes with the package."""
    return finished(PRETRAINED / fingerprint)


def finished(folder: Path) -> bool:
    """Whether `folder` is a checkpoint; removes what a kill after the very last write of `finish` left beside it."""
    if not (folder / RECIPE).is_file():
        return False
    forget(folder)
    return True


def finish(
    folder: Path,
    weights: Mapping[str, Tensor],
    log: list[dict[str, Any]],
    recipe: Mapping[str, Any],
    changes: Mapping[str, Tensor] | None = None,
) -> None:
    """Writes a finished checkpoint, with the low-rank `changes` beside it if there are any; recipe.json comes last and makes
    it one."""
    for name, tensors in ((WEIGHTS, weights), (LORA, changes)):
        if tensors:
            files.write_bytes(folder / name, save({k: v.detach().contiguous() for k, v in sorted(tensors.items())}))
    files.write_bytes(folder / LOG, "".join(json.dumps(row, sort_keys=True) + "\n" for row in log).encode())
    files.write_bytes(folder / RECIPE, (json.dumps(recipe, indent=1, sort_keys=True) + "\n").encode())
    forget(folder)


def weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of a finished checkpoint.

    Raises CheckpointError where the file is missing or damaged."""
    path = _there(folder)
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, error) from None


def stored(folder: Path) -> Stored:
    """The weights of a finished checkpoint, to be read tensor by tensor.

    Raises CheckpointError where the file is missing; later on, where it is damaged or does not fit."""

    def misfit(why: str) -> CheckpointError:
        return CheckpointError(f"{folder} does not fit its recipe ({why}); delete it and train again")

    return Stored((_there(folder),), misfit, _damaged)


def fill(net: nn.Module, folder: Path) -> None:
    """Gives `net` the weights of a finished checkpoint.

    Raises CheckpointError where they are missing, damaged or of another shape."""
    load(net.state_dict(), stored(folder))


def _there(folder: Path) -> Path:
    path = folder / WEIGHTS
    if not path.is_file():
        raise CheckpointError(f"no checkpoint in {folder}: {WEIGHTS} is missing; train it, or name the right folder")
    return path


def _damaged(path: Path, error: object) -> CheckpointError:
    return CheckpointError(f"{path} is truncated or damaged ({error}); delete its folder and train again")


def recipe(folder: Path) -> dict[str, Any]:
    """recipe.json of a checkpoint."""
    path = folder / RECIPE
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise CheckpointError(f"no checkpoint in {folder}: {RECIPE} is missing; train it, or name the right folder") from None
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged ({error}); delete its folder and train again") from None


def digest(folder: Path) -> str:
    """Twelve hexadecimal digits of the weights' bytes."""
    return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()[:12]


def pause(folder: Path, state: Mapping[str, Any]) -> None:
    """Writes what a killed run needs to go on to the same numbers."""
    with files.atomic(folder / RESUME) as file:
        torch.save(dict(state), file)


def forget(folder: Path, but: str = "") -> None:
    """Removes what stopped runs left, all `but` the file or folder of that name."""
    for path in (*folder.glob("resume[.-]*"), *folder.glob(UNFINISHED)):
        if path.name == but or path.suffix == ".damaged":
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def resume(folder: Path) -> dict[str, Any] | None:
    """What `pause` wrote, or None where a run starts afresh; a damaged file is set aside, since the run can be made again."""
    path = folder / RESUME
    if not path.is_file():
        return None
    try:
        return torch.load(path, weights_only=True)
    except Exception:
        shutil.move(path, path.with_suffix(".damaged"))
        return None
