"""`salt-bench weights`: the files that VBench's judges need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salt_bench.commands.choices import WEIGHTS
from salt_bench.commands.output import say
from salt_bench.commands.progress import progress

if TYPE_CHECKING:
    from salt_bench.judges.vbench.weights import Weight


def weights(
    folder: Annotated[Path, typer.Option("--dir", help="Folder of weights in VBench's own layout.")] = WEIGHTS,
    fetch: Annotated[str, typer.Option(help="Bring these names, or all that are for every use.", show_default="none")] = "",
    random: Annotated[bool, typer.Option("--random", help="Fill an empty folder with random weights, for a dry run.")] = False,
    layers: Annotated[int | None, typer.Option(min=1, help="Of each network, if random.", show_default="all")] = None,
) -> None:
    """List the weight files of VBench's judges: where they belong, where they come from, and whether they are there."""
    from salt_bench.judges.vbench import fetching, random_weights
    from salt_bench.judges.vbench import weights as table

    place = folder.expanduser()
    for path in random_weights.write(place, layers) if random else ():
        say(f"made at random: {path} ({path.stat().st_size / 1e6:.0f} MB)")
    for one in fetching.chosen([name.strip() for name in fetch.split(",")]) if fetch else ():
        say(f"{one.name}: {'fetched' if _fetch(one, place) else 'is there already'}")
    for check in table.verify(place):
        digest = f"; sha256 {check.sha256}" if check.sha256 else ""
        say(f"{check.state:12} {check.weight.name:9} {check.weight}; for {check.weight.used_by}{digest}")


def _fetch(one: Weight, place: Path) -> bool:
    """Under a bar; False where the file is there already."""
    from salt_bench.judges.vbench import fetching

    with progress() as log:
        return fetching.fetch(one, place, lambda done, whole: log(one.name, done / (whole or one.megabytes * 1e6)))


def register(app: typer.Typer) -> None:
    """Puts the command into the command line."""
    app.command()(weights)
