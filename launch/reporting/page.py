"""report.html: a run on one self-contained page, for people without any account."""

import json
from html import escape
from pathlib import Path

from launch.reporting import run_files, style, tables
from launch.reporting.charts import charts
from launch.reporting.figures import duration, figure, headline, mean, median, time_spent
from launch.reporting.run_files import RunFiles

STATES = {"done": "finished", "requeue": "to be resumed", "user-error": "not started", "fault": "failed"}


def write_page(folder: Path) -> Path:
    """Writes `report.html` into the run's folder and returns its path.

    Raises:
        FileNotFoundError: `folder` is no run's folder.
    """
    page = folder / "report.html"
    whole = page.with_name(page.name + ".tmp")
    whole.write_text(render(run_files.read(folder)), encoding="utf-8")
    whole.replace(page)
    return page


def render(run: RunFiles) -> str:
    """Returns the page as HTML. Nothing in it is loaded from elsewhere, and every value is escaped."""
    message = str(run.attempt.get("message") or "")
    note = f"<p class=message>{escape(message)}</p>" if message and run.state != "done" else ""
    configuration = json.dumps(run.facts.get("run", {}), indent=2, ensure_ascii=False)
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{escape(run.name)}</title>
<style>{style.SHEET}</style>
<header>
<h1>{escape(run.name)}</h1>
<span class="state {escape(run.state)}">{escape(STATES.get(run.state, "running"))}</span>
<p>{escape(_subtitle(run))}</p>
{note}
</header>
<section class="tiles">{_tiles(run)}</section>
<section class="charts">{"".join(chart.svg() for chart in charts(run))}</section>
<section class="tables">
<div><h2>Result</h2>{tables.result(run)}</div>
<div><h2>Run</h2>{tables.run_facts(run)}</div>
<div><h2>Found at start</h2>{tables.found(run)}</div>
<div><h2>Events</h2>{tables.events(run)}</div>
</section>
<details><summary>Resolved configuration</summary><pre>{escape(configuration)}</pre></details>
</html>
"""


def _subtitle(run: RunFiles) -> str:
    data = run.facts.get("data") or {}
    where = data.get("name") or f"a data set of {data.get('classes', '?')} classes"
    return f"{run.facts.get('variant', '')} on {where}, started {run.facts.get('started', '')}"


def _tiles(run: RunFiles) -> str:
    last, plan, train = headline(run), run.facts.get("plan") or {}, run.of_kind("train")
    step = max((int(r["step"]) for r in run.records), default=0)
    tiles = [
        ("Acc@1", figure(last.get("eval/acc1"), ".2f", " %"), _beside(run, "acc1")),
        ("Acc@5", figure(last.get("eval/acc5"), ".2f", " %"), _beside(run, "acc5")),
        (
            "Images per second",
            figure(median(train, "speed/images_per_s"), ",.0f"),
            f"median; data wait {figure(mean(train, 'speed/data_wait'), '.1%')} on average",
        ),
        ("Step", f"{step:,}", f"of {plan.get('steps', 0):,}, in {duration(time_spent(run))}"),
    ]
    return "".join(
        f"<div><h3>{escape(name)}</h3><b>{escape(value)}</b><p>{escape(below)}</p></div>"
        for name, value, below in tiles
    )


def _beside(run: RunFiles, metric: str) -> str:
    official = (run.facts.get("official") or {}).get(metric)
    return "no official number for this data" if official is None else f"official {figure(official, '.2f')} %"
