"""A finished study's folder in, its report out: report.md, index.html, table.tex, figures/. Same table, same bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from salt_bench import files
from salt_bench.report import differences, figures, guard, tables, voting
from salt_bench.report.cells import Table, number
from salt_bench.report.filling import fill, inline
from salt_bench.report.gallery import Gallery
from salt_bench.report.latex import latex
from salt_bench.report.source import Metric, Source
from salt_bench.stats.decision import Condition, Decision
from salt_bench.stats.effects import LogRatio
from salt_bench.stats.verdicts import non_inferior
from salt_bench.types import Effect


@dataclass(frozen=True)
class Point:
    """One thing that the claim asks for and what was found: `outcome` in words, `tone` "good", "bad" or "open"."""

    title: str
    asks: str
    found: str
    outcome: str
    tone: str


@dataclass(frozen=True)
class Verdict:
    """What a reader should take away, in the same size whether it confirms or contradicts."""

    label: str
    tone: str
    sentence: str
    points: tuple[Point, ...] = ()
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
    """A table with its figures, by name."""

    title: str
    tables: tuple[Table, ...]
    figures: tuple[str, ...] = ()


def render(folder: Path) -> list[Path]:
    """Writes the report into `folder`, beside its scores.jsonl and manifest.json, and returns the files that it wrote.

    The same table gives the same bytes. Raises as `Source.read` does where the folder holds no study.
    """
    source = Source.read(folder)
    gallery = Gallery.read(folder / "clips", (*source.anchors, *source.arms))
    drawn = figures.draw(source, gallery)
    page = _page(source, gallery, drawn)
    made = {f"figures/{name}.svg": svg for name, (svg, _) in drawn.items()}
    made |= {"report.md": fill("report.md.j2", page), "index.html": fill("index.html.j2", page)}
    made["table.tex"] = latex(tables.leading(source))
    for stale in set((folder / "figures").glob("*.svg")) - {folder / name for name in made}:
        stale.unlink()
    for name, text in sorted(made.items()):
        files.write_text(folder / name, text)
    return [folder / name for name in sorted(made)]


def _page(source: Source, gallery: Gallery | None, drawn: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    return {
        "study": source.study,
        "question": " ".join(source.study["question"].split()),
        "world": source.world,
        "smoke": source.manifest["scale"] == "smoke",
        "verdict": verdict(source),
        "sections": _sections(source, gallery, drawn),
        "details": differences.all_effects(source),
        "figures": {name: {"svg": inline(name, svg), "alt": text} for name, (svg, text) in drawn.items()},
        "gallery": gallery,
        "booth": voting.booth(source, gallery),
        "flagged": flagged(source),
        "methods": methods(source),
        "protocol": json.dumps(source.manifest["protocol"], indent=2, sort_keys=True, ensure_ascii=False),
        "footer": _footer(source.manifest),
    }


def _sections(source: Source, gallery: Gallery | None, drawn: Mapping[str, Any]) -> tuple[Section, ...]:
    sweeps = tuple(name for name in drawn if name.startswith("sweep-"))
    plan: Sequence[tuple[str, tuple[Table | None, ...], tuple[str, ...]]] = (
        ("Against what others say", (differences.expectations(source),), ()),
        ("Results", (tables.main(source) if source.main else None,), ("pareto",)),
        ("Blind votes", (voting.table(source, gallery),), ()),
        (f"Effects against {source.baseline}", (differences.effects(source) if source.main else None,), ("effects",)),
        ("Sweep", (), sweeps),
        ("Semigroup defect by interval", (tables.defect(source),), ("defect",)),
        ("Cross-step consistency", (tables.cross_step(source),), ("cross-step",)),
        ("Quality against steps", (tables.steps(source),), ("steps",)),
        ("Quality beside speed", (tables.speed(source),), ()),
        ("While one waits", (tables.realtime(source),), ()),
        ("Accuracy per attribute", (tables.attributes(source),), ()),
        ("Other judges", (tables.others(source),), ()),
        ("Could not be judged", (tables.missing(source),), ()),
        ("Published numbers (not measured here)", (tables.published_table(source),), ()),
    )
    made = (Section(title, tuple(t for t in ts if t), tuple(f for f in fs if f in drawn)) for title, ts, fs in plan)
    return tuple(section for section in made if section.tables or section.figures)


def verdict(source: Source) -> Verdict:
    """The claim's decision; where nothing is claimed, every main comparison in one sentence."""
    decision = source.decision
    if decision is None and source.expectations:
        return _expected(source)
    if decision is None:
        label = "No claim: what was measured"
        return Verdict(
            label, "open", f"Against {source.baseline} at {source.setting}, 95% intervals.", lines=_comparisons(source)
        )
    if isinstance(decision, str):
        return Verdict("The claim cannot be decided", "open", decision)
    if decision.chosen is None:
        return Verdict("The claim does not hold", "bad", decision.sentence)
    points = tuple(_point(source, condition) for condition in decision.conditions)
    label, tone = _label(decision, points)
    return Verdict(label, tone, _sentence(decision, points), points)


def _expected(source: Source) -> Verdict:
    """How many statements of others were confirmed here, in the same size whatever the answer."""
    found = differences.agreements(source)
    words = [agreement.word for agreement in found]
    counts = ", ".join(f"{words.count(word)} {said}" for word, said in _COUNTED.items() if word in words)
    tone = "bad" if "contradicts" in words else "good" if set(words) == {"agrees"} else "open"
    sentence = f"{len(words)} statements of others, held against what was measured here: {counts}."
    points = tuple(_agreement_point(source, agreement) for agreement in found)
    return Verdict(f"Against what others say: {counts}", tone, sentence, points, _comparisons(source))


_COUNTED = {"agrees": "confirmed", "contradicts": "contradicted", "not decided": "not decided"}


def _agreement_point(source: Source, found: differences.Agreement) -> Point:
    x = found.expectation
    title = f"{source.metric(x.judge, x.part).title} of {x.arm} against {x.baseline} at {x.setting}"
    return Point(title, "higher" if x.sign > 0 else "lower", _found(found.effect), found.word, found.tone)


def _label(decision: Decision, points: Sequence[Point]) -> tuple[str, str]:
    if decision.holds:
        return "The claim holds", "good"
    against = any(point.tone == "bad" for point in points)
    return ("The claim is contradicted", "bad") if against else ("The claim is not shown", "open")


def _sentence(decision: Decision, points: Sequence[Point]) -> str:
    claim = decision.claim
    chosen = f"{decision.chosen}, chosen among {len(claim.candidates)} on validation prompts"
    who = f"{chosen}, against {claim.baseline} at {claim.setting}"
    failed = [f"{p.title} is {p.outcome}" for p in points if p.tone != "good"]
    if not failed:
        return f"{who}: all {len(points)} conditions hold on the test prompts."
    return f"{who}: {len(failed)} of {len(points)} conditions fail on the test prompts; {'; '.join(failed)}."


def _point(source: Source, condition: Condition) -> Point:
    e = condition.effect
    output = source.outputs[e.judge, e.part]
    if condition.asks == "lower":
        against, words = e.low > 0, ("lower", "higher", "not shown to be lower")
    else:
        against, words = non_inferior(e, output).verdict == "worse", ("no worse", "worse", "not shown to be no worse")
    at = 0 if condition.holds else 1 if against else 2
    title = source.metric(e.judge, e.part).title
    return Point(title, condition.asks, _found(e), words[at], ("good", "bad", "open")[at])


def _found(e: Effect) -> str:
    if not isinstance(e, LogRatio):
        return number(e.mean, e.low, e.high, sign=True)
    mean, low, high = (f"{100 * math.expm1(x):+.1f}%".replace("-", "−") for x in (e.mean, e.low, e.high))
    return f"{mean} [{low}, {high}]"


def _comparisons(source: Source) -> tuple[str, ...]:
    found = differences.comparisons(source, source.setting, source.main)
    by_arm = {a: [f"{c.metric.title} {c.text} ({c.verdict})" for c in found if c.effect.arm == a] for a in source.arms}
    return tuple(f"{arm}: {', '.join(parts)}." for arm, parts in by_arm.items() if parts)


def flagged(source: Source) -> tuple[str, ...]:
    """One sentence for every arm whose low defect is no success, or whose gains go along with lost motion."""
    places = [(a, s) for a in source.arms for s in source.places(a)]
    fallen = [(at, found) for at in places if (found := source.fallen(*at))]
    stilled = [(at, found) for at in places if (found := guard.shadowed(source, *at))]
    return (
        *(
            f"{a} at {s}: {tables.FLAG}: its low defect is no success ({_titles(found)} far below {source.baseline}, beyond "
            "the margin)."
            for (a, s), found in fallen
        ),
        *(
            f"{a} at {s}: {guard.LOST}: what it gained goes along with less motion ({_titles(found)} below {source.baseline}, "
            "beyond the margin)."
            for (a, s), found in stilled
        ),
    )


def _titles(metrics: Sequence[Metric]) -> str:
    return " and ".join(m.title for m in metrics)


def methods(source: Source) -> str:
    """How the numbers came about, from the manifest alone."""
    study, protocol = source.study, source.manifest["protocol"]
    held, total = len(source.validation), len(study["prompts"])
    grids = "; ".join(f"{name} at σ = {', '.join(f'{x:g}' for x in grid)}" for name, grid in study["settings"].items())
    facts = ", ".join(f"{k.replace('_', ' ')} {_fact(v)}" for k, v in sorted(protocol.items()) if _short(v))
    return (
        f"{len(study['arms'])} arms and {len(study['anchors'])} anchors on {total - held} test prompts"
        + (f" ({held} more, tagged validation, only choose among candidates and are in no table)" if held else "")
        + f"; training seeds {_join(study['train_seeds'])}, sample seeds {_join(study['sample_seeds'])}; {grids}. "
        f"Judges: {_join(sorted(source.manifest['outputs'])).replace('_', ' ')}. "
        "The same training seed, prompt and sample seed give the same noise in every arm, so effects are paired; intervals "
        "take training seeds and prompts as crossed random effects (Satterthwaite, never narrower than t on the seed means). "
        + (f"Protocol: {facts}; the whole of it is in manifest.json." if facts else "")
    )


def _short(value: Any) -> bool:
    return isinstance(value, (str, int, float, bool)) or (
        isinstance(value, list) and all(isinstance(v, (int, float)) for v in value)
    )


def _fact(value: Any) -> str:
    return "×".join(map(str, value)) if isinstance(value, list) else str(value)


def _join(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values))


def _footer(manifest: Mapping[str, Any]) -> str:
    cells = manifest["cells"]
    counts = f"{cells['trained']} cells trained, {cells['reused']} reused, {cells['judged']} judged"
    made = f"Fingerprint {manifest['fingerprint']} · commit {manifest['commit']} · scale {manifest['scale']}"
    return f"{made} · {counts}{_crews(manifest)}"


def _crews(manifest: Mapping[str, Any]) -> str:
    """By how many processes models were trained, where a reader cannot expect the same bytes again."""
    counts: Sequence[int] = manifest.get("processes", [1])  # older manifests are of one process each
    return "" if max(counts) == 1 else f" · models trained by {_join(counts)} processes: repeatable within rounding only"
