"""What is gated: one number of a judge, which way is better, and the smallest loss that matters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from salt_bench.errors import WrongUse
from salt_bench.study import near
from salt_bench.types import Output

Outputs = Mapping[str, Mapping[str, Output]]
"""judge → part → what that number means."""


@dataclass(frozen=True)
class Gauge:
    """`part` of `judge`; its output has a direction and a margin."""

    judge: str
    part: str
    output: Output

    @property
    def name(self) -> str:
        return f"{self.judge}.{self.part}"

    @property
    def margin(self) -> float:
        """In the judge's unit, or as a share of the baseline's mean where the output says relative."""
        if not self.output.margin:
            raise ValueError(f"{self.name} has no margin")
        return self.output.margin

    @property
    def scale(self) -> float:
        """The loss that counts 1: the margin, on the log scale where it is relative."""
        if not self.output.relative:
            return self.margin
        return -math.log1p(-self.margin) if self.output.better > 0 else math.log1p(self.margin)


def gauges(outputs: Outputs, wanted: Sequence[str] = (), margins: Mapping[str, Output] | None = None) -> list[Gauge]:
    """The gauges named by `wanted`, "judge" or "judge.part"; of every judge that has a margin where nothing is wanted.

    A judge alone stands for its first part that has a direction and a margin: judges say their most general number first.
    `margins` (see `overridden`) have been put into `outputs` already. Raises WrongUse for names that are not there.
    """
    if not wanted:
        return [gauge for judge in outputs if (gauge := _first(outputs, judge))]
    return [_named(outputs, name) for name in dict.fromkeys(wanted)]


def _first(outputs: Outputs, judge: str) -> Gauge | None:
    usable = ((part, output) for part, output in outputs[judge].items() if output.better and output.margin)
    return next((Gauge(judge, part, output) for part, output in usable), None)


def _named(outputs: Outputs, name: str) -> Gauge:
    judge, part = split(outputs, name)
    found = _first(outputs, judge) if part is None else Gauge(judge, part, outputs[judge][part])
    if found is None or not (found.output.better and found.output.margin):
        raise WrongUse(f"{name} has no margin or no direction: nothing is a loss there; give --margin {name}=… or leave it out")
    return found


def split(outputs: Outputs, name: str) -> tuple[str, str | None]:
    """("judge", "part" or None) of a name; WrongUse where the outputs have no such thing."""
    judge, _, part = name.partition(".")
    if judge not in outputs:
        raise WrongUse(f"no judge {judge!r} here{near(judge, outputs) or '; there are ' + ', '.join(outputs)}")
    if part and part not in outputs[judge]:
        raise WrongUse(f"{judge} has no part {part!r}{near(part, outputs[judge]) or '; it has ' + ', '.join(outputs[judge])}")
    return judge, part or None


def overridden(outputs: Outputs, texts: Sequence[str]) -> dict[str, dict[str, Output]]:
    """The outputs with other margins: each text is "judge=0.01", "judge.part=0.01" or, for a share, "judge=5%".

    A judge alone means the part that is gated by default, or its first part with a direction."""
    changed = {judge: dict(parts) for judge, parts in outputs.items()}
    for text in texts:
        name, _, amount = text.rpartition("=")
        if not name:
            raise WrongUse(f"--margin is judge=amount, as in sharpness=5% or shapes.accuracy=0.01, got {text!r}")
        judge, part = split(outputs, name)
        chosen = part or _default_part(outputs, judge)
        changed[judge][chosen] = _with_margin(changed[judge][chosen], amount, text)
    return changed


def _default_part(outputs: Outputs, judge: str) -> str:
    if found := _first(outputs, judge):
        return found.part
    directed = [part for part, output in outputs[judge].items() if output.better]
    if not directed:
        raise WrongUse(f"{judge} has no part with a direction: nothing of it can be lost")
    return directed[0]


def _with_margin(output: Output, amount: str, text: str) -> Output:
    relative = amount.endswith("%")
    try:
        margin = float(amount.removesuffix("%")) / (100 if relative else 1)
    except ValueError:
        raise WrongUse(f"a margin is a number or a percentage, got --margin {text}") from None
    if not 0 < margin < (1 if relative else math.inf):
        raise WrongUse(f"a margin is above 0{' and below 100%' if relative else ''}, got --margin {text}")
    return replace(output, margin=margin, relative=relative)
