"""`salt-bench total`, `missing` and `data vbench`: the arithmetic of VBench, its prompts, and what lacks of its videos."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salt_bench.commands.choices import UNJUDGED, Suite, listed
from salt_bench.commands.output import say
from salt_bench.prompts.base import Size

if TYPE_CHECKING:
    from salt_bench.composites.intervals import Estimate
    from salt_bench.composites.scheme import Scheme
    from salt_bench.composites.summary import Scored, Summary


class Way(StrEnum):
    """How a dataset's score is made of its videos; as `composites.rows.Aggregate`, which a command line need not import."""

    one_process = "one-process"
    multi_gpu = "multi-gpu"


def register(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.command()(total)
    app.command()(missing)
    data = typer.Typer(help="Get the data of a benchmark.", no_args_is_help=True)
    data.callback()(_data)
    data.command("vbench")(vbench)
    app.add_typer(data, name="data")


def total(
    results: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="Rows or official results, of one model.", show_default=False)
    ],
    aggregate: Annotated[Way | None, typer.Option(help="How datasets' scores are made.", show_default="as stated")] = None,
    benchmark: Annotated[Suite, typer.Option(help="Whose arithmetic.")] = Suite.vbench,
    against: Annotated[list[Path] | None, typer.Option(help="Results of another model.", show_default="none")] = None,
) -> None:
    """Quality, Semantic and Total with 95% intervals, from scores.jsonl, *_eval_results.json, or folders and zips of these.

    All FILEs are one model's. Exit code 6 where something is missing.
    """
    scheme = _scheme(benchmark)
    one = _summary(results, scheme, aggregate)
    for line in (*_table(one), *_gaps(one)):
        say(line)
    both = [one, _summary(against, scheme, aggregate)] if against else [one]
    for line in _differences(*both) if against else ():
        say(line)
    if any(each.missing or each.unjudged() for each in both):
        raise typer.Exit(UNJUDGED)


def missing(
    videos: Annotated[Path, typer.Argument(help="A folder of videos.", show_default=False)],
    suite: Annotated[Suite, typer.Option(help="Whose prompts.")] = Suite.vbench,
    size: Annotated[Size, typer.Option(help="How much of the suite is asked.")] = Size.full,
    dimensions: Annotated[str, typer.Option(help="Names with commas between.", show_default="all")] = "",
    static_filter: Annotated[
        bool, typer.Option("--static-filter", help="Flickering: 25 samples, or what a filter's result names.")
    ] = False,
    most: Annotated[int, typer.Option(min=1, help="Names that are listed of each kind.")] = 10,
) -> None:
    """What VIDEOS lack of a suite's videos, before anything is judged. Exit code 6 where something does."""
    from dataclasses import replace

    from salt_bench.prompts import completeness
    from salt_bench.prompts import vbench as t2v
    from salt_bench.prompts import vbench_i2v as i2v

    asked = i2v.suite(size) if suite is Suite.vbench_i2v else t2v.suite(size)
    asked = asked if static_filter else replace(asked, filtered=asked.samples)
    found = completeness.examine(videos, asked, listed(dimensions))
    for line in found.lines(most):
        say(line)
    if not found.complete:
        raise typer.Exit(UNJUDGED)


def vbench(
    source: Annotated[
        Path | None, typer.Option("--from", help="A folder of the data, or the wheel.", show_default="download")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Where to.", show_default="$SALT_CACHE or ~/.cache/salt_bench, vbench/")
    ] = None,
) -> None:
    """VBench's prompts and lists: from a copy, or from the package vbench 0.1.5, which is downloaded and not installed."""
    from salt_bench.prompts import data

    folder = cache or data.cache()
    there = data.obtain(source, folder, say)
    say(f"{folder}: {', '.join(file.name for file in there)}")
    for line in data.NOTICE.strip().splitlines():
        say(line)
    for file in data.FILES:
        if file not in there and file is not data.LICENCE:
            say(f"not there: {file.name} ({file.what}); it is not in the package: --from a copy of Vchitect/VBench")
    if data.VBENCH not in there:
        raise typer.Exit(UNJUDGED)


def _data() -> None:
    """A group of commands, even while it holds a single one."""


def _scheme(benchmark: Suite) -> Scheme:
    from salt_bench.composites.known import SCHEMES

    return SCHEMES[benchmark.value]


def _summary(paths: list[Path], scheme: Scheme, aggregate: Way | None) -> Summary:
    from salt_bench.composites import reading, summary
    from salt_bench.composites.rows import Aggregate

    return summary.summarise(scheme, reading.read(paths, scheme), Aggregate(aggregate.value) if aggregate else None)


def _table(summary: Summary) -> Iterator[str]:
    """Every known score in per cent, as benchmarks print them."""
    yield f"{summary.scheme.name}, {summary.aggregate or 'as stated, else one process'}; per cent, 95% over prompts"
    yield f"{'':24}{'score':>8}  {'interval':17}{'detectable':>10}{'prompts':>9}{'videos':>8}"
    for name, scored in summary.dimensions.items():
        yield _line(name, scored.value, scored.estimate, f"{scored.prompts:9}{scored.videos:8}" if scored.videos else "")
    for name in summary.scheme.composites:
        value = summary.composites.get(name)
        yield f"{name:24}{'missing':>8}" if value is None else _line(name, value, summary.estimate(name))
    if unsure := [name for name in summary.composites if summary.estimate(name) is None]:
        yield f"no interval for {', '.join(unsure)}: some dimension is known by its score alone"


def _line(name: str, value: float, estimate: Estimate | None, counts: str = "") -> str:
    found = estimate and estimate.interval
    span = f"[{100 * found[0]:.2f}, {100 * found[1]:.2f}]" if found else "not known"
    smallest = f"{100 * estimate.detectable:.2f}" if estimate and estimate.detectable is not None else ""
    return f"{name:24}{100 * value:8.2f}  {span:17}{smallest:>10}{counts}".rstrip()


def _gaps(summary: Summary) -> Iterator[str]:
    """What the numbers do not rest on."""
    for composite in summary.scheme.composites:
        if lacking := summary.scheme.missing(composite, {name: s.value for name, s in summary.dimensions.items()}):
            yield f"{composite} is missing, for want of {', '.join(lacking)}"
    for name, why in summary.missing.items():
        yield f"missing: {name}: {why}"
    for name, scored in summary.dimensions.items():
        yield from _empty(name, scored)
    short = "; ".join(f"{name} {text}" for name, text in summary.partial().items())
    if short:
        yield f"not the full suite, so not comparable with published numbers: {short}"
    for remark in summary.remarks:
        yield f"look at this: {remark}"
    whole = summary.estimate("total")
    if whole and whole.detectable is not None and whole.detectable_unpaired is not None:
        yield (
            f"smallest difference of total found with 80% power: {100 * whole.detectable:.2f} from a fixed number, "
            f"{100 * whole.detectable_unpaired:.2f} from a model asked for other prompts; paired ones: --against"
        )


def _empty(name: str, scored: Scored) -> Iterator[str]:
    if scored.unjudged:
        yield f"{name}: {len(scored.unjudged)} videos could not be judged, the first: {scored.unjudged[0]}"
    if scored.left_out:
        yield f"{name}: {scored.left_out} videos are left out, as its rule says"


def _differences(one: Summary, other: Summary) -> Iterator[str]:
    """One minus other, paired by prompt, and the smallest difference that such a pair would find."""
    from salt_bench.composites.summary import difference

    yield "\nminus --against, paired by prompt"
    for name in one.scheme.composites:
        if name in one.composites and name in other.composites:
            yield _line(name, one.composites[name] - other.composites[name], difference(one, other, name))
        else:
            yield f"{name:24}{'missing':>8}"
    known = one.protocol and other.protocol
    if known and (apart := sorted(k for k in {*one.protocol, *other.protocol} if one.protocol.get(k) != other.protocol.get(k))):
        yield f"look at this: the two were measured differently: {', '.join(apart)}"
    for line in _gaps(other):
        yield f"against: {line}"
