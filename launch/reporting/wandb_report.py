"""The W&B report of this project, built from code: where each width stands, and the plots of all runs."""

from collections.abc import Sequence
from statistics import mean
from typing import Any

from launch.reporting.comparison import Standing
from launch.reporting.panels import COLUMNS, sections
from rexnet.published import published, published_variants

_LEAD = (
    "Final EMA weights at 224 pixels beside the authors' numbers and a known 90-epoch attempt. Accuracies in "
    "percent on ImageNet-1k's 50,000 validation images; gaps in points. The best epoch enters no table."
)


def report(*, entity: str, project: str, runs: Sequence[Standing], online: bool = True) -> Any:
    """Returns a `wandb_workspaces.reports.v2.Report`; nothing is sent.

    Args:
        runs: of which the tables tell.
        online: whether the report's sets of runs name the project, which the library looks up on the server
            when it makes the specification.
    """
    from wandb_workspaces.reports.v2 import interface as v2

    looked_up = {"entity": entity, "project": project} if online else {}
    blocks: list[Any] = [
        v2.P(_LEAD),
        v2.TableOfContents(),
        v2.H1("Every width against the official accuracy"),
        v2.MarkdownBlock(widths_table(runs)),
        v2.H1("The runs beside each other"),
        v2.MarkdownBlock(runs_table(runs)),
    ]
    for name, panels in sections().items():
        runset = v2.Runset(name="All runs", pinned_columns=list(COLUMNS))
        for field, value in looked_up.items():
            setattr(runset, field, value)
        blocks += [v2.H1(name), v2.PanelGrid(runsets=[runset], panels=panels)]
    return v2.Report(
        entity=entity,
        project=project,
        title="ReXNet against the published accuracy",
        description="Accuracy, curves, speed, health and cost of all runs.",
        blocks=blocks,
        width="fluid",
    )


def widths_table(runs: Sequence[Standing]) -> str:
    """Every published variant beside the mean of its finished runs on ImageNet, in Markdown."""
    head = ["variant", "runs", "Acc@1", "Acc@5", "official Acc@1", "Acc@5", "gap", "earlier attempt Acc@1"]
    rows = [head]
    for variant in published_variants():
        figures = published(variant)
        assert figures is not None
        ours = [r.values for r in runs if r.done and r.variant == variant and "official/acc1" in r.values]
        acc1, acc5 = ([values[name] for values in ours] for name in ("eval/acc1", "eval/acc5"))
        rows.append(
            [
                variant,
                str(len(ours)) if ours else "not yet run",
                f"{mean(acc1):.2f}" if ours else "-",
                f"{mean(acc5):.2f}" if ours else "-",
                f"{figures.acc1:.2f}",
                f"{figures.acc5:.2f}",
                f"{mean(acc1) - figures.acc1:+.2f}" if ours else "-",
                "-" if figures.earlier_acc1 is None else f"{figures.earlier_acc1:.2f}",
            ]
        )
    return _markdown(rows)


def runs_table(runs: Sequence[Standing]) -> str:
    """The runs and their last evaluations, in Markdown."""
    names = ("eval/acc1", "official/acc1", "gap/acc1", "eval/acc5", "official/acc5")
    rows = [["run", "variant", "attempts", "epoch", *names]]
    for run in runs:
        epoch = "-" if run.epoch is None else f"{run.epoch:.1f}"
        figures = (_figure(run.values, name) for name in names)
        rows.append([run.name, run.variant or "-", str(run.attempts), epoch, *figures])
    return _markdown(rows)


def _figure(values: dict[str, float], name: str) -> str:
    return f"{values[name]:.2f}" if name in values else "-"


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *rest = [[cell.replace("|", "\\|").replace("<", "&lt;") for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *rest]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
