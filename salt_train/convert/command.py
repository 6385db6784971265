"""`salt-train convert`, and what `salt-train inspect` says of weights that no recipe made."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salt_bench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from salt_train.convert.network import Pick

SUFFIXES = (".safetensors", ".pt", ".pth", ".distcp")
OWNERS = {"wan": "Wan's", "diffusers": "diffusers'"}
"""Whose names a layout's are."""
UNNAMED = "one network"
"""What a part without a name is called."""


class Layout(StrEnum):
    """Whose names."""

    diffusers = "diffusers"
    wan = "wan"


class Dtype(StrEnum):
    """How numbers are kept."""

    keep = "keep"
    bf16 = "bf16"
    fp32 = "fp32"


def register(app: typer.Typer) -> None:
    """Adds the command to `salt-train`."""
    app.command()(convert)


def convert(
    source: Annotated[Path, typer.Argument(help="A .pt, .pth or .safetensors file, or a folder of them.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="The folder to be made.", show_default=False)],
    to: Annotated[Layout, typer.Option(help="diffusers' layout (what a recipe reads), or Wan's own names.")] = Layout.diffusers,
    take: Annotated[str, typer.Option(help="Which network of the file: generator, generator_ema, net_ema …")] = "",
    lora: Annotated[Path | None, typer.Option(help="A PEFT file to be merged into it.", show_default=False)] = None,
    lora_scale: Annotated[float, typer.Option(help="α/r of that file.")] = 1.0,
    dtype: Annotated[Dtype, typer.Option(help="keep writes the numbers as they are.")] = Dtype.keep,
    without: Annotated[
        list[str] | None, typer.Option(help="Leave out keys that contain this text.", show_default=False)
    ] = None,
) -> None:
    """Turn published weights based on Wan 2.1 into a folder that recipes and diffusers read, strictly and in little memory."""
    from salt_train.convert import conversion
    from salt_train.convert.network import Pick

    wish = conversion.Wish(to.value, dtype.value, lora, lora_scale)
    conversion.convert(Pick(source, take, tuple(without or ())), out, wish, print)
    print(f"finished {out}")


def foreign(path: Path) -> bool:
    """Whether `path` is weights that no recipe of ours made: a file, or a folder with such files in it."""
    from salt_train import checkpoint, published

    if any((path / name).is_file() for name in (checkpoint.RECIPE, checkpoint.WEIGHTS, checkpoint.RESUME)):
        return False
    places = (path, path / published.TRANSFORMER)
    return path.is_file() or any(any(place.glob(f"*{suffix}")) for place in places for suffix in SUFFIXES)


def inspect(path: Path) -> None:
    """Prints what a file or folder of weights is: format, networks, wrapping, parameters, model, keys that fit nothing.

    Files are mapped; no tensor is brought into memory."""
    from salt_train.convert import names, network, reading
    from salt_train.convert.network import Pick

    found = reading.parts(path)
    held = [f"{part or UNNAMED} ({len(tensors)} tensors)" for part, tensors in sorted(found.items())]
    print(f"{'format':<8} {reading.kind(path)}")
    print(f"{'holds':<8} {', '.join(held)}")
    for part in sorted(found):
        print(f"\n{part or UNNAMED}")
        print(f"{'around':<8} {', '.join(names.wrapping(found[part])) or 'nothing: plain keys'}")
        if network.is_lora(found[part]):
            _describe_change(found[part])
        else:
            _describe(Pick(path, part))


def _describe_change(tensors: Mapping[str, Tensor]) -> None:
    """What low-rank changes are; whether they fit depends on their base, and `--lora` sees to that."""
    downs = [tensor for key, tensor in tensors.items() if ".lora_A" in key]
    ranks = ", ".join(map(str, sorted({len(down) for down in downs})))
    print(f"{'change':<8} of {len(downs)} weights, rank {ranks}: merged by salt-train convert BASE OUT --lora FILE")


def _describe(pick: Pick) -> None:
    from salt_train.convert import network

    try:
        found = network.read(pick)
        sizes, wrong = network.check(found, pick)
    except UserError as error:
        print(f"{'model':<8} {error}")
        return
    print(f"{'names':<8} {OWNERS[found.layout]}")
    print(f"{'numbers':<8} {found.numbers:,} in {found.dtypes}")
    print(f"{'model':<8} {sizes.model}: {sizes.layers} blocks of width {sizes.width}")
    if wrong:
        print(f"{'misfit':<8} {wrong}")
    else:
        print(f"{'fits':<8} all {len(found.tensors)} keys of WanTransformer3DModel, none missing")
