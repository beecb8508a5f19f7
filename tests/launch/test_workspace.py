"""The W&B workspace and report, as they are built."""

from typing import Any

import pytest

from launch.reporting import panels, wandb_report, workspace
from launch.reporting.comparison import Standing
from tests.launch.metric_names import documented
from tests.launch.metric_names import summaries as documented_summaries

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning"  # wandb-workspaces uses pydantic's older decorators
)


def standing(name: str, *, acc1: float, done: bool = True, official: bool = True) -> Standing:
    values = {"eval/acc1": acc1, "eval/acc5": acc1 + 16}
    values |= {"official/acc1": 77.9, "official/acc5": 93.9, "gap/acc1": acc1 - 77.9} if official else {}
    return Standing(name=name, attempts=2, epoch=400.0, variant="rexnet_1.0", done=done, values=values)


def drawn() -> dict[str, dict[str, Any]]:
    """The workspace's panels by title, without those that have none."""
    built = workspace.specification(workspace.workspace(entity="team", project="rexnet"))
    sections = built["spec"]["section"]["panelBankConfig"]["sections"]
    configs = [panel["config"] for section in sections for panel in section["panels"]]
    return {config["chartTitle"]: config for config in configs if "chartTitle" in config}


def test_every_accuracy_has_the_official_one_beside_it() -> None:
    found = drawn()
    lines = ["eval/acc1", "expected/acc1", "official/acc1", "earlier/acc1"]
    assert found["Acc@1: ours, expected, official, earlier attempt (%)"]["metrics"] == lines
    assert found["Acc@5: ours, official (%)"]["metrics"] == ["eval/acc5", "official/acc5"]
    assert found["Images per second, in all"]["xAxis"] == "images_seen"
    assert found["Loss"]["xAxis"] == "epoch"


def test_what_is_drawn_is_what_is_documented() -> None:
    names = {m for plots in panels.LINES.values() for _, metrics, _ in plots for m in metrics}
    assert names <= documented().keys()
    summaries = {c.removeprefix("summary:") for c in panels.COLUMNS if c.startswith("summary:")}
    assert summaries <= documented_summaries()


def test_panels_do_not_lie_on_each_other() -> None:
    for made in panels.sections().values():
        places = [(panel.layout.x, panel.layout.y) for panel in made]
        assert len(set(places)) == len(places) and max(x for x, _ in places) <= 16


def test_a_width_stands_by_the_mean_of_its_finished_runs_on_imagenet() -> None:
    runs = [standing("a", acc1=77.0), standing("b", acc1=78.0), standing("c", acc1=10.0, done=False)]
    table = wandb_report.widths_table([*runs, standing("d", acc1=99.0, official=False)])
    assert "| rexnet_1.0 | 2 | 77.50 | 93.50 | 77.90 | 93.90 | -0.40 | 72.40 |" in table.splitlines()


def test_names_of_folders_do_not_break_the_table() -> None:
    table = wandb_report.runs_table([standing("<b>a|b", acc1=77.0)])
    assert "| &lt;b>a\\|b | rexnet_1.0 | 2 | 400.0 | 77.00 |" in table


def test_the_private_call_is_made_for_checked_versions_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "9.0.0")
    with pytest.raises(RuntimeError, match=r"wandb-workspaces is 9\.0\.0"):
        workspace.specification(object())
