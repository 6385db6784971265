"""What a study's figures show."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from salt_bench.report import differences, tables
from salt_bench.report.drawing import COLOURS, GRID, INK, SOFT, half, panels, style, svg
from salt_bench.report.gallery import Gallery
from salt_bench.report.source import Family, Metric, Source

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "osD^vPX*"
SHEET_ARMS = 24
"""Columns of the contact sheet: nobody reads more, and laying them out takes time that grows with the square of them."""
GOOD, BAD, OPEN = "#0072b2", "#d55e00", "#5b6472"


def draw(source: Source, gallery: Gallery | None) -> dict[str, tuple[str, str]]:
    """Every figure that this study has data for: name → (SVG text, what it shows, for those who cannot see it)."""
    with style():
        found = {name: (svg(figure), text) for name, text, figure in _all(source, gallery)}
    return found


def _all(source: Source, gallery: Gallery | None) -> Iterator[tuple[str, str, Figure]]:
    makers: list[tuple[str, str, Callable[[Source], Figure | None]]] = [
        ("effects", f"Difference of every arm to {source.baseline} with 95% intervals; shaded: within the margin", effects),
        ("pareto", "Accuracy against semigroup defect: the best corner is top left", pareto),
        ("defect", "Semigroup defect of each inference interval, per arm", defect),
        (
            "cross-step",
            "Latent distance between the clips of two step counts, one matrix per arm; darker is closer",
            cross_step,
        ),
        ("steps", "Quality against the number of steps, per arm", steps),
    ]
    for name, text, make in makers:
        if figure := make(source):
            yield name, text, figure
    for i, family in enumerate(source.families):
        text = f"Sweep of {family.title} with 95% intervals; grey band: {source.baseline}"
        yield f"sweep-{i + 1}", text, sweep(source, family)
    if gallery:
        yield (
            "contact-sheet",
            f"First, middle and last frame of every clip; rows are prompts, columns are {_sheet_columns(gallery)}",
            contact_sheet(gallery),
        )


def _look(source: Source, arm: str) -> dict[str, Any]:
    """An arm looks the same in every figure; after eight, colour and marker are paired anew."""
    at = [*source.arms, *source.anchors].index(arm)
    return {"color": COLOURS[at % 8], "marker": MARKERS[(at + at // 8) % 8], "markersize": 5.5}


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside right upper", fontsize=9)


def effects(source: Source) -> Figure | None:
    """A forest: one panel per main judge, one row per arm; blue is better, orange is worse, grey is open."""
    found = differences.comparisons(source, source.setting, source.main)
    metrics = [m for m in source.main if any(c.metric == m for c in found)]
    if not metrics:
        return None
    arms = [a for a in source.arms if a != source.baseline]
    figure, grid = panels(1, len(metrics), 2.3 * len(metrics) + 1.2, 0.36 * len(arms) + 1.3, sharey=True)
    for axes, metric in zip(grid[0], metrics, strict=True):
        margin = (source.margin(source.setting, metric) or 0.0) if metric.output.better else 0.0
        _forest(axes, source, arms, [c for c in found if c.metric == metric], margin)
        axes.set_title(metric.title + metric.arrow, fontsize=9)
    grid[0, 0].set_yticks(range(len(arms)), arms, color=INK)
    grid[0, 0].set_ylim(len(arms) - 0.4, -0.6)
    return figure


def _forest(axes: Axes, source: Source, arms: Sequence[str], found: Sequence[differences.Comparison], margin: float) -> None:
    """The range is that of the arms which did not collapse; one that lies outside is an arrow with its number."""
    sound = [c.effect for c in found if not source.fallen(c.effect.arm, c.effect.setting)] or [c.effect for c in found]
    ends = [x for e in sound for x in (e.low, e.mean, e.high) if math.isfinite(x)] + [-margin, margin]
    pad = 0.06 * (max(ends) - min(ends)) or 1.0
    low, high = min(ends) - pad, max(ends) + pad
    axes.axvspan(-margin, margin, color=GRID, lw=0, zorder=0)
    axes.axvline(0, color=INK, lw=1)
    for c in found:
        e, at = c.effect, arms.index(c.effect.arm)
        colour = {"better": GOOD, "worse": BAD, "worse, within the margin": BAD}.get(c.verdict, OPEN)
        if low <= e.mean <= high:
            axes.errorbar(
                e.mean, at, xerr=half(e.low, e.mean, e.high), fmt="o", color=colour, markersize=5.5, capsize=2.5, lw=1.6
            )
        else:
            left = e.mean < low
            text = f"◂ {e.mean:+.2g}" if left else f"{e.mean:+.2g} ▸"
            axes.text(low if left else high, at, text, color=colour, ha="left" if left else "right", va="center", fontsize=8.5)
    axes.set_xlim(low, high)
    axes.locator_params(axis="x", nbins=4)
    axes.grid(False, axis="y")


def sweep(source: Source, family: Family) -> Figure:
    """One panel per main judge against the number in the arms' names; the grey band is the baseline's interval."""
    metrics = [m for m in source.main if any(source.has(a, source.setting, m) for a in family.arms.values())]
    figure, grid = panels(1, max(len(metrics), 1), 2.3 * len(metrics) + 0.4, 2.7)
    for axes, metric in zip(grid[0], metrics, strict=False):
        if source.has(source.baseline, source.setting, metric):
            _band(axes, *source.summary(source.baseline, source.setting, metric)[:3])
        points = [(i, a) for i, a in enumerate(family.arms.values()) if source.has(a, source.setting, metric)]
        _line(axes, source, metric, [(i, a, source.setting) for i, a in points], COLOURS[1], "o")
        axes.set_xticks(range(len(family.arms)), [f"{x:g}" for x in family.arms])
        axes.set_xlabel(family.title)
        axes.set_title(metric.title + metric.arrow, fontsize=9)
    return figure


def _band(axes: Axes, mean: float, low: float, high: float) -> None:
    if math.isfinite(high - low):
        axes.axhspan(low, high, color=GRID, lw=0, zorder=0)
    axes.axhline(mean, color=SOFT, lw=1, ls="--")


def _line(
    axes: Axes,
    source: Source,
    metric: Metric,
    points: Sequence[tuple[float, str, str]],
    colour: str,
    marker: str,
    label: str = "",
) -> None:
    """Means with intervals at the places (x, arm, setting), joined."""
    found = [(x, source.summary(a, s, metric)) for x, a, s in points]
    bars = np.hstack([half(s.low, s.mean, s.high) for _, s in found]) if found else np.zeros((2, 0))
    means = [s.mean for _, s in found]
    where = [x for x, _ in found]
    axes.errorbar(where, means, yerr=bars, color=colour, marker=marker, markersize=5, capsize=2.5, lw=1.5, label=label or None)


def pareto(source: Source) -> Figure | None:
    """Accuracy against defect at the main setting: top left is best, and a low defect at the bottom is no success."""
    keys = (("semigroup_defect", "defect"), ("shapes", "accuracy"))
    if not all(key in source.outputs for key in keys):
        return None
    x, y = (source.metric(*key) for key in keys)
    places = [(a, source.setting) for a in source.arms] + [(a, s) for a in source.anchors for s in source.places(a)]
    places = [(a, s) for a, s in places if source.has(a, s, x) and source.has(a, s, y)]
    figure, grid = panels(1, 1, 6.6, 3.8)
    for arm, setting in places:
        a, b = source.summary(arm, setting, x), source.summary(arm, setting, y)
        bars = {"xerr": half(a.low, a.mean, a.high), "yerr": half(b.low, b.mean, b.high)}
        label = f"{arm} ({tables.FLAG})" if source.fallen(arm, setting) else arm
        grid[0, 0].errorbar(a.mean, b.mean, **bars, ls="none", lw=1.2, capsize=2, label=label, **_look(source, arm))
    grid[0, 0].set_xlabel(x.title + x.arrow)
    grid[0, 0].set_ylabel(y.title + y.arrow)
    _legend(figure, grid[0, 0])
    return figure if places else None


def defect(source: Source) -> Figure | None:
    """Defect of each inference interval; arms stand side by side so that their intervals do not overlap."""
    metrics = tables.intervals(source)
    arms = [a for a in source.arms if any(source.has(a, source.setting, m) for m in metrics)]
    if not arms:
        return None
    figure, grid = panels(1, 1, 7.4, 3.2)
    for i, arm in enumerate(arms):
        for j, m in enumerate(metrics):
            if source.has(arm, source.setting, m):
                s = source.summary(arm, source.setting, m)
                at = j + 0.7 * ((i + 0.5) / len(arms) - 0.5)
                bar, label = half(s.low, s.mean, s.high), arm if j == 0 else None
                grid[0, 0].errorbar(at, s.mean, yerr=bar, ls="none", lw=1.4, capsize=2, label=label, **_look(source, arm))
    grid[0, 0].set_xticks(range(len(metrics)), [m.title for m in metrics], color=INK)
    grid[0, 0].set_ylabel("Semigroup defect ↓")
    grid[0, 0].set_ylim(bottom=0)
    grid[0, 0].grid(False, axis="x")
    _legend(figure, grid[0, 0])
    return figure


def cross_step(source: Source) -> Figure | None:
    """One small matrix per arm on one colour scale."""
    metrics = tables.pairs(source)
    arms = [a for a in source.arms if metrics and all(source.has(a, source.setting, m) for m in metrics)]
    if not arms:
        return None
    counts = sorted({int(k) for m in metrics for k in m.part[7:].split("-")})
    matrices = [_matrix(source, arm, metrics, counts) for arm in arms]
    top, rows = max(float(np.nanmax(m)) for m in matrices), -(-len(arms) // 5)
    columns = -(-len(arms) // rows)
    figure, grid = panels(rows, columns, 2.05 * columns, 2.15 * rows)
    for axes in grid.flat[len(arms) :]:
        axes.set_visible(False)
    for axes, arm, matrix in zip(grid.flat, arms, matrices, strict=False):
        _heat(axes, arm, matrix, counts, top)
    return figure


def _matrix(source: Source, arm: str, metrics: Sequence[Metric], counts: Sequence[int]) -> np.ndarray:
    matrix = np.full((len(counts), len(counts)), np.nan)
    for m in metrics:
        a, b = (counts.index(int(k)) for k in m.part[7:].split("-"))
        matrix[a, b] = matrix[b, a] = source.summary(arm, source.setting, m).mean
    return matrix


def _heat(axes: Axes, arm: str, matrix: np.ndarray, counts: Sequence[int], top: float) -> None:
    axes.pcolormesh(matrix, cmap="cividis", vmin=0, vmax=top, edgecolor="white", linewidth=1)
    for i, j in np.ndindex(*matrix.shape):
        if i == j:
            continue
        dark, text = matrix[i, j] < 0.6 * top, f"{matrix[i, j]:.2f}".lstrip("0")
        axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=7.5, color="white" if dark else INK)
    ticks = np.arange(len(counts)) + 0.5
    axes.set_xticks(ticks, [str(k) for k in counts])
    axes.set_yticks(ticks, [str(k) for k in counts])
    axes.invert_yaxis()
    axes.set_aspect("equal")
    axes.grid(False)
    axes.tick_params(length=0)
    axes.set_title(arm, fontsize=9)


def steps(source: Source) -> Figure | None:
    """Accuracy and Fréchet distance against the evaluations of the network, where there is more than one setting."""
    metrics = [m for m in source.main if m.judge in ("shapes", "frechet")]
    if len(source.settings) < 2 or not metrics:
        return None
    figure, grid = panels(1, len(metrics), 3.3 * len(metrics) + 1.4, 3.0)
    settings = source.settings[::-1]
    for axes, metric in zip(grid[0], metrics, strict=True):
        for i, arm in enumerate(source.arms):
            shift = 0.3 * ((i + 0.5) / len(source.arms) - 0.5)
            points = [(j + shift, arm, s) for j, s in enumerate(settings) if source.has(arm, s, metric)]
            look = _look(source, arm)
            _line(axes, source, metric, points, look["color"], look["marker"], arm)
        axes.set_xticks(range(len(settings)), settings)
        axes.set_title(metric.title + metric.arrow)
    _legend(figure, grid[0, 0])
    return figure


def _sheet_columns(gallery: Gallery) -> str:
    return "arms" if len(gallery.arms) <= SHEET_ARMS else f"the first {SHEET_ARMS} of {len(gallery.arms)} arms"


def contact_sheet(gallery: Gallery) -> Figure:
    """First, middle and last frame of every clip, pixel for pixel: what the players show, standing still."""
    rows, columns = len(gallery.prompts), min(len(gallery.arms), SHEET_ARMS)
    figure, grid = panels(rows, columns, 1.75 * columns, 0.66 * rows + 0.4)
    for (i, j), axes in np.ndenumerate(grid):
        clip = gallery.clip(gallery.arms[j].slug, gallery.prompts[i].id)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        if clip is not None:
            frames = gallery.frames(clip)
            kept = frames[[0, len(frames) // 2, -1]]
            axes.imshow(np.concatenate(list(kept), axis=1), interpolation="none")
        if i == 0:
            axes.set_title(gallery.arms[j].name, fontsize=8.5)
        if j == 0:
            axes.set_ylabel(str(i + 1), rotation=0, ha="right", va="center")
    return figure
