"""report.html: runs on one self-contained page, for people without any account."""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

from launch.reporting import charts, run_files, style, tables
from launch.reporting.class_view import class_view
from launch.reporting.curve import Chart
from launch.reporting.figures import (
    between,
    duration,
    figure,
    headline,
    last_step,
    mean,
    median,
    result_interval,
    time_spent,
)
from launch.reporting.markup import note
from launch.reporting.run_files import RunFiles
from launch.reporting.standing import standing


def write_page(*folders: Path, out: Path | None = None) -> Path:
    """Writes the page about the runs in `folders` and returns its path.

    Args:
        out: where to; `report.html` in the only run's folder when not given.

    Raises:
        FileNotFoundError, ValueError: a folder is no run's folder, or is damaged.
    """
    page = out or folders[0] / "report.html"
    content = render(run_files.read_all(folders))
    page.parent.mkdir(parents=True, exist_ok=True)
    whole = page.with_name(page.name + ".tmp")
    whole.write_text(content, encoding="utf-8", errors="backslashreplace")  # names need not be characters
    whole.replace(page)
    return page


def render(runs: Sequence[RunFiles]) -> str:
    """Returns the page as HTML. Nothing in it is loaded from elsewhere, and every value is escaped."""
    title = " · ".join(run.name for run in runs)
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{escape(title)}</title>
<style>{style.SHEET}</style>
{_top(runs[0]) if len(runs) == 1 else _legend(runs)}
<main>
{_sections(runs)}
</main>
</html>
"""


def _sections(runs: Sequence[RunFiles]) -> str:
    one = runs[0] if len(runs) == 1 else None
    result = tables.result(one) if one else tables.comparison(runs)
    resumed = note("Dotted verticals: the run was resumed there.") if charts.marks(runs) else ""
    dashed = (
        note("Dashed: the official figures of the variants.") if len(charts.levels(runs, "acc5")) > 1 else ""
    )
    parts = [
        ("Result", f'<div class="{"split" if one else "stack"}"><div>{result}</div>{standing(runs)}</div>'),
        ("What differs", "" if one else tables.differences(runs)),
        ("Learning", _drawn(charts.learning(runs)) + resumed + dashed),
        ("Schedule", _drawn(charts.schedule(runs))),
        ("Speed", _drawn(charts.speed(runs))),
        ("Health", _drawn(charts.health(runs)) + tables.health(runs)),
        ("Classes", f'<div class="grid classes">{view}</div>' if (view := class_view(runs)) else ""),
        *([] if one else [("Run", tables.run_facts(runs)), ("Environment", tables.environment(runs))]),
        ("Run and environment", _side_by_side(runs) if one else ""),
        ("Events", tables.events(one) if one else ""),
        ("Configuration", "".join(_configuration(run) for run in runs)),
    ]
    return "".join(f"<section><h2>{name}</h2>{content}</section>\n" for name, content in parts if content)


def _side_by_side(runs: Sequence[RunFiles]) -> str:
    parts = (tables.run_facts(runs), tables.environment(runs))
    return f'<div class="split">{"".join(parts)}</div>'


def _drawn(shown: Sequence[Chart]) -> str:
    drawn = "".join(chart.svg() for chart in shown)
    return f'<div class="grid">{drawn}</div>' if drawn else ""


def _top(run: RunFiles) -> str:
    message = str(run.attempt.get("message") or "")
    said = f'<p class="message">{escape(message)}</p>' if message and run.state != "done" else ""
    return (
        f"<header><h1>{escape(run.name)}</h1>{_state(run)}<p>{escape(_subtitle(run))}</p>{said}</header>"
        f'<div class="tiles">{_tiles(run)}</div>'
    )


def _legend(runs: Sequence[RunFiles]) -> str:
    keys = "".join(f'<span class="key s{i % 8}">{escape(run.name)}</span>' for i, run in enumerate(runs))
    subtitles = "".join(f"<p>{escape(run.name)}: {escape(_subtitle(run))}</p>" for run in runs)
    return f'<header><h1>{len(runs)} runs</h1>{subtitles}</header><nav class="legend">{keys}</nav>'


def _state(run: RunFiles) -> str:
    return f'<span class="state {escape(run.state)}">{escape(tables.STATES.get(run.state, "running"))}</span>'


def _subtitle(run: RunFiles) -> str:
    data, asked = run.facts.get("data") or {}, run.facts.get("run") or {}
    where = {"imagenet-1k": "ImageNet-1k"}.get(str(data.get("name")), f"{data.get('classes', '?')} classes")
    parts = [f"{run.facts.get('variant', '')} on {where}"]
    if "epochs" in asked:
        parts.append(f"{asked['epochs']:g} epochs")
    if "seed" in asked:
        parts.append(f"seed {asked['seed']}")
    started = str(run.facts.get("started", "")).replace("T", " ").replace("+00:00", " UTC")
    return " · ".join([*parts, f"started {started}"])


def _tiles(run: RunFiles) -> str:
    last, plan, train = headline(run), run.facts.get("plan") or {}, run.of_kind("train")
    wait = figure(mean(train, "speed/data_wait"), ".1%")
    tiles = [
        ("Acc@1", figure(last.get("eval/acc1"), ".2f"), "%", _beside(run, "acc1")),
        ("Acc@5", figure(last.get("eval/acc5"), ".2f"), "%", _beside(run, "acc5")),
        ("Throughput", figure(median(train, "speed/images_per_s"), ",.0f"), "images/s", f"data wait {wait}"),
        ("Time", duration(time_spent(run)), "", f"step {last_step(run):,} of {plan.get('steps', 0):,}"),
    ]
    return "".join(
        f"<div><h3>{name}</h3><b>{escape(value)}<small>{unit}</small></b><p>{escape(below)}</p></div>"
        for name, value, unit, below in tiles
    )


def _beside(run: RunFiles, metric: str) -> str:
    official = (run.facts.get("official") or {}).get(metric)
    if official is not None:
        return f"official {figure(official, '.2f')}"
    ends = result_interval(headline(run), metric)
    return "no evaluation yet" if ends is None else f"95 % interval {between(ends)}"


def _configuration(run: RunFiles) -> str:
    text = json.dumps(run.facts.get("run", {}), indent=2, ensure_ascii=False)
    return f"<details><summary>{escape(run.name)}</summary><pre>{escape(text)}</pre></details>"
