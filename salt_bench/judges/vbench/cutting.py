"""How a long video is cut into clips that are judged like videos: VBench-Long's rule, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from salt_bench.composites.vbench_long import clip_length, clip_seconds, segments
from salt_bench.judges.vbench.base import Refused, Span, Video
from salt_bench.judges.vbench.jobs import Plan
from salt_bench.judges.vbench.recoding import PLAIN
from salt_bench.prompts.base import Suite


@dataclass(frozen=True)
class Cut:
    """Clips of `seconds` each. Their rate counts in whole frames, as in the files that VBench-Long writes."""

    seconds: float
    encoding: str = PLAIN

    def __call__(self, video: Video) -> Sequence[Video]:
        """The clips of a video whose size is known. Raises Refused for one of less than a frame a second."""
        try:
            spans = segments(video.frames, video.fps, self.seconds)
        except ValueError as error:
            raise Refused(str(error)) from error
        whole = video.frames < clip_length(video.fps, self.seconds)
        names = ["full"] if whole else [f"{number:03d}" for number in range(len(spans))]
        return [
            replace(video, frames=end - first, fps=float(int(video.fps)), span=Span(first, end, name, self.encoding))
            for (first, end), name in zip(spans, names, strict=True)
        ]


def cut(plan: Plan, suite: Suite | None, encoding: str) -> Plan:
    """The plan with its videos in clips: as long as the longest that a dimension of the prompt wants, asked for or not; of 2 s
    where no suite says what the prompts are for."""
    tags = {prompt.text: prompt.tags for prompt in suite.prompts()} if suite else {}
    jobs = [replace(job, cut=Cut(clip_seconds(tags.get(job.text, ())), encoding)) for job in plan.jobs]
    return replace(plan, jobs=tuple(jobs))
