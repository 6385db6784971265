"""What stands in a study's tables."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from salt_bench.report import guard, published
from salt_bench.report.cells import Cell, Table, counted, number, word
from salt_bench.report.source import LIVE, SPEED, Metric, Source

FLAG = "collapsed or blurred"
_MOTION = (
    " “Lost motion”: what the arm gained goes along with less motion than the baseline's, beyond the margin; it does not "
    "compete where a still video is best."
)
_INTERVAL = re.compile(r"(\d+)-(\d+)/ratio")
_PAIR = re.compile(r"latent (\d+)-(\d+)")


def measured(source: Source, arm: str, setting: str, metric: Metric) -> Cell:
    """The mean with its interval; a dash where it was not measured."""
    if not source.has(arm, setting, metric):
        return Cell()
    s = source.summary(arm, setting, metric)
    text = number(s.mean, s.low, s.high)
    lone = "" if math.isfinite(s.high - s.low) else "; one value has no interval"
    return Cell(text, s.mean, hint=f"n = {counted(s.train_seeds, s.prompts)}{lone}")


def _row(source: Source, arm: str, setting: str, metrics: Sequence[Metric]) -> tuple[Cell, ...]:
    return tuple(replace(measured(source, arm, setting, m), mark=source.mark(arm, setting, m)) for m in metrics)


def _counts(source: Source, metric: Metric) -> str:
    """n over the arms: training seeds × prompts, a range where arms differ."""
    places = [(a, s) for a in source.arms for s in source.places(a) if source.has(a, s, metric)]
    counts = sorted({(n.train_seeds, n.prompts) for n in (source.summary(a, s, metric) for a, s in places)})
    return " to ".join(dict.fromkeys((counted(*counts[0]), counted(*counts[-1])))) if counts else "0"


def _headers(source: Source, metrics: Sequence[Metric]) -> tuple[str, ...]:
    """Title and direction; n too where it is not that of the first column, which the caption says."""
    counts = [_counts(source, m) for m in metrics]
    return tuple(m.title + m.arrow + ("" if n == counts[0] else f" (n {n})") for m, n in zip(metrics, counts, strict=True))


def _rests(source: Source, metrics: Sequence[Metric]) -> str:
    return (
        f"Mean ± 95% interval; n = {_counts(source, metrics[0])} (training seeds × test prompts; an anchor has one seed)"
        if metrics
        else ""
    )


def _places(source: Source, only: str | None = None) -> list[tuple[str, str]]:
    settings = [only] if only else [source.setting, *(s for s in source.settings if s != source.setting)]
    extra = {s for a in source.arms for s in source.places(a)} - set(source.settings)
    return [(a, s) for s in [*settings, *sorted(extra)] for a in source.arms if s in source.places(a)]


def _anchors(source: Source) -> list[tuple[str, str]]:
    return [(a, s) for a in source.anchors for s in source.places(a)]


def main(source: Source) -> Table:
    """One row per arm and setting, the anchors on top; the last column says where a low defect is no success."""
    anchors = [(word(a), word(s), *_row(source, a, s, source.main), Cell("")) for a, s in _anchors(source)]
    arms = [(word(a), word(s), *_row(source, a, s, source.main), _flag(source, a, s)) for a, s in _places(source)]
    columns = ("Arm", "Setting", *_headers(source, source.main), "Flag")
    caption = (
        f"{source.world}{_rests(source, source.main)}. Bold: best arm of its setting; ≈: not distinguishable from the best, "
        "by paired differences after Holm. A flagged arm does not compete in defect and cross-step."
        f"{_MOTION if any(row[-1].text.endswith(guard.LOST) for row in arms) else ''}"
    )
    return Table("main", "Results", caption, columns, (*anchors, *arms), 2, len(anchors))


def _flag(source: Source, arm: str, setting: str) -> Cell:
    fallen, stilled = source.fallen(arm, setting), guard.shadowed(source, arm, setting)
    words = [name for name, found in ((FLAG, fallen), (guard.LOST, stilled)) if found]
    if not words:
        return Cell("")
    text = ", ".join(words)
    return Cell(f"⚠ {text}", text, "flag", "far below the baseline: " + ", ".join(m.title for m in (*fallen, *stilled)))


def leading(source: Source) -> Table:
    """The one that a paper prints: the results or, of a study that asked no main judge, what someone sees who waits."""
    return main(source) if source.main else realtime(source) or main(source)


def _by_arm(source: Source, id: str, title: str, caption: str, metrics: Sequence[Metric], setting: str) -> Table | None:
    """One row per arm at one setting under the anchors; None where nothing was measured."""
    anchors = [(a, s) for a, s in _anchors(source) if any(source.has(a, s, m) for m in metrics)]
    arms = [(a, s) for a, s in _places(source, setting) if any(source.has(a, s, m) for m in metrics)]
    rows = tuple((word(a), *_row(source, a, s, metrics)) for a, s in (*anchors, *arms))
    columns = ("Arm", *_headers(source, metrics))
    caption = f"{source.world}{caption}{_rests(source, metrics)}, at {setting}."
    return Table(id, title, caption, columns, rows, 1, len(anchors)) if arms else None


def others(source: Source) -> Table | None:
    """The judges that have no main column, at the main setting, as far as they said anything there."""
    said = [m for m in source.others if any(source.has(a, source.setting, m) for a in source.arms)]
    return _by_arm(source, "others", "Other judges", "", said, source.setting)


def attributes(source: Source) -> Table | None:
    """Accuracy of each attribute of the prompt that the exact judges read from the pixels."""
    metrics = [source.metric(j, p) for j, p in source.outputs if j == "shapes" and p != "accuracy"]
    kept = [m for m in metrics if any(source.has(a, source.setting, m) for a in source.arms)]
    caption = "Share of clips that show what the prompt says, over the prompts that say it. "
    return _by_arm(source, "attributes", "Accuracy per attribute", caption, kept, source.setting)


def steps(source: Source) -> Table | None:
    """Quality against the number of steps (the paper's A5), where a study has more than one setting."""
    quality = [m for m in source.main if m.judge in ("shapes", "frechet")]
    if len(source.settings) < 2 or not quality:
        return None
    columns = ("Arm", *(f"{m.title}{m.arrow}, {s}" for m in quality for s in source.settings))
    rows = tuple((word(a), *(_marked(source, a, s, m) for m in quality for s in source.settings)) for a in source.arms)
    return Table("steps", "Quality against steps", f"{source.world}Paper form A5. {_rests(source, quality)}.", columns, rows)


def speed(source: Source) -> Table | None:
    """Quality beside frames per core-second, setting by setting, where a study was timed."""
    timed = {p: source.metric(SPEED, p) for j, p in source.outputs if j == SPEED}
    if not timed:
        return None
    quality = [m for m in source.main if m.judge in ("shapes", "frechet")]
    asked = [(s, m) for s, grid in source.study["settings"].items() for m in (*quality, *_timed(timed, len(grid)))]
    columns = ("Arm", *(m.title + m.arrow + ("" if m.judge == SPEED else f", {s}") for s, m in asked))
    rows = tuple(
        (word(a), *(measured(source, a, source.setting if m.judge == SPEED else s, m) for s, m in asked)) for a in source.arms
    )
    caption = (
        "Batch 1, one thread, on the machine that the manifest names; frames of finished video per core-second. The interval "
        "is that of these clips on this machine. "
    )
    return Table("speed", "Quality beside speed", f"{source.world}{caption}{_rests(source, quality)}.", columns, rows)


def realtime(source: Source) -> Table | None:
    """What someone sees who waits for a video, where a study was timed so."""
    timed = [source.metric(judge, part) for judge, part in source.outputs if judge == LIVE]
    caption = "Wall-clock time on the machine that the manifest names, batch 1, one thread. "
    return _by_arm(source, "realtime", "While one waits", caption, timed, source.setting) if timed else None


def _timed(timed: Mapping[str, Metric], steps: int) -> list[Metric]:
    return [metric for part, metric in timed.items() if part.endswith(f" {steps}")]


def _marked(source: Source, arm: str, setting: str, metric: Metric) -> Cell:
    return replace(measured(source, arm, setting, metric), mark=source.mark(arm, setting, metric))


def intervals(source: Source) -> tuple[Metric, ...]:
    """The defect of each inference interval, from noise to clip."""
    found = [(j, p) for j, p in source.outputs if j == "semigroup_defect" and _INTERVAL.fullmatch(p)]
    metrics = [source.metric(*key) for key in sorted(found, key=lambda key: -int(key[1].split("-")[0]))]
    return tuple(replace(m, output=replace(m.output, title=m.part.removesuffix("/ratio").replace("-", " → "))) for m in metrics)


def defect(source: Source) -> Table | None:
    """The paper's A3: defect by interval, their mean, and its ratio to the baseline beside the published ratio."""
    if ("semigroup_defect", "defect") not in source.outputs:
        return None
    mean = source.metric("semigroup_defect", "defect")
    metrics = (*intervals(source), replace(mean, output=replace(mean.output, title="Mean")))
    treated, plain = published.defect_ratio()
    caption = (
        "Paper form A3, lower is better. Ratio: mean over the baseline's. The paper reports "
        f"{treated} / {plain} = {treated / plain:.2f} for SC-DMD over DMD on another model (secondary source, "
        "normalisation not public): compare the ratio and the order, never the absolute value. "
    )
    table = _by_arm(source, "defect", "Semigroup defect by interval", caption, metrics, source.setting)
    return table and replace(
        table,
        columns=(*table.columns, "Ratio to baseline"),
        rows=tuple((*row, _ratio(source, row)) for row in table.rows),
    )


def _ratio(source: Source, row: Sequence[Cell]) -> Cell:
    metric = source.metric("semigroup_defect", "defect")
    if row[-1].sort == "" or not source.has(source.baseline, source.setting, metric):
        return Cell()
    base = source.summary(source.baseline, source.setting, metric).mean
    return Cell(f"{float(row[-1].sort) / base:.2f}", float(row[-1].sort) / base) if base else Cell()


def pairs(source: Source) -> tuple[Metric, ...]:
    """The latent distance between every two step counts: the cross-step matrix, row by row."""
    found = [(j, p) for j, p in source.outputs if j == "cross_step" and _PAIR.fullmatch(p)]
    metrics = [source.metric(*key) for key in sorted(found, key=lambda key: [int(k) for k in key[1][7:].split("-")])]
    return tuple(replace(m, output=replace(m.output, title=m.part[7:].replace("-", " ↔ "))) for m in metrics)


def cross_step(source: Source) -> Table | None:
    """The paper's A4: how far the same prompt and noise drift apart between step counts."""
    means = [source.metric("cross_step", p) for p in ("latent mean", "feature mean") if ("cross_step", p) in source.outputs]
    metrics = [*pairs(source), *(replace(m, output=replace(m.output, title=m.part.capitalize())) for m in means)]
    caption = "Paper form A4: latent distance between the clips of two step counts, lower is better. "
    return _by_arm(source, "cross-step", "Cross-step consistency", caption, metrics, source.setting)


def published_table(source: Source) -> Table | None:
    """What others published, one row per model, NFE and source; never mixed with what was measured here."""
    if not source.study["published"]:
        return None
    rows = published.select(source.study["published"])
    metrics = list(dict.fromkeys(rows["metric"]))
    grouped = rows.groupby(["table", "model", "nfe", "source", "trust"], sort=False)
    cells = tuple(_published_row(key, group.set_index("metric")["value"].to_dict(), metrics) for key, group in grouped)
    caption = (
        "VBench numbers, and the paper's own semigroup defect, on other models: facts with their source and trust. "
        "They are not comparable in absolute value with anything measured here."
    )
    columns = ("Table", "Model", "Source", "Trust", "NFE", *(m.replace("_", " ").capitalize() for m in metrics))
    return Table("published", "Published numbers (not measured here)", caption, columns, cells, 4)


def _published_row(key: Sequence[object], values: dict[str, float], metrics: Sequence[str]) -> tuple[Cell, ...]:
    name, model, nfe, source, trust = (str(k) for k in key)
    numbers = (
        Cell(f"{values[m]:.4f}" if m == "defect" else f"{values[m]:.2f}", values[m]) if m in values else Cell() for m in metrics
    )
    return (word(name), word(model), word(source), word(trust), Cell(nfe, int(nfe)), *numbers)


def missing(source: Source) -> Table | None:
    """What could not be judged, with the reason; it is counted, never averaged away."""
    rows = source.table[source.table["value"].isna()]
    if rows.empty:
        return None
    counts = rows.groupby(["arm", "setting", "judge", "note"]).size()
    cells = tuple((*(word(str(k)) for k in key), Cell(str(n), float(n))) for key, n in counts.items())
    return Table("missing", "Could not be judged", "", ("Arm", "Setting", "Judge", "Reason", "Values"), cells, 4)
