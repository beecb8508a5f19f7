"""The W&B workspace of this project, built from code: accuracy beside the published one, speed, health."""

import importlib.metadata
from typing import Any

CHECKED_VERSIONS = ("0.4.",)
"""Beginnings of the wandb-workspaces versions whose private `_to_model` is known to work here."""


def workspace(*, entity: str, project: str) -> Any:
    """Returns a `wandb_workspaces.workspaces.Workspace`; nothing is sent."""
    from wandb_workspaces import workspaces
    from wandb_workspaces.reports import v2

    def plot(
        title: str, *metrics: str, x: str = "epoch", low: float | None = None, high: float | None = None
    ) -> Any:
        lines = [v2.Metric(m) for m in metrics]
        return v2.LinePlot(
            title=title, x=v2.Metric(x), y=list(lines), range_y=(low, high), ignore_outliers=False
        )

    def section(name: str, *panels: Any, is_open: bool = True) -> Any:
        return workspaces.Section(name=name, panels=list(panels), is_open=is_open)

    return workspaces.Workspace(
        entity=entity,
        project=project,
        name="ReXNet against the published accuracy",
        sections=[
            section(
                "Accuracy",
                plot("Acc@1, ours and official (%)", "eval/acc1", "official/acc1"),
                plot("Acc@5, ours and official (%)", "eval/acc5", "official/acc5"),
                plot("Gap to official Acc@1 (points)", "gap/acc1"),
                plot("Evaluation loss", "eval/loss"),
            ),
            section(
                "Training",
                plot("Loss", "train/loss"),
                plot("Acc@1 of training batches (%)", "train/acc1", low=0, high=100),
                plot("Learning rate", "train/lr", low=0),
            ),
            section(
                "Speed",
                plot("Images per second", "speed/images_per_s", x="images_seen", low=0),
                plot("Data wait (share of the step)", "speed/data_wait", x="images_seen", low=0, high=1),
            ),
            section(
                "Health",
                plot("Gradient norm", "health/grad_norm", x="images_seen"),
                plot("Loss scale", "health/loss_scale", x="images_seen"),
                plot("Skipped steps", "health/skipped_steps", x="images_seen", low=0),
                plot("Restarts", "health/restarts", x="images_seen", low=0),
                is_open=False,
            ),
        ],
        settings=workspaces.WorkspaceSettings(x_axis="epoch"),
        runset_settings=workspaces.RunsetSettings(
            pinned_columns=[
                "run:displayName",
                "config:variant",
                "summary:last/acc1",
                "summary:official/acc1",
                "summary:gap/acc1",
                "summary:best/acc1",
                "summary:last/acc5",
                "summary:official/acc5",
            ]
        ),
    )


def specification(of: Any) -> dict[str, Any]:
    """Returns what `save` would send for the workspace `of`. The library has no public way to ask for it.

    Raises:
        RuntimeError: an installed version of wandb-workspaces for which this is not known to work.
    """
    version = importlib.metadata.version("wandb-workspaces")
    if not version.startswith(CHECKED_VERSIONS):
        raise RuntimeError(
            f"wandb-workspaces is {version}, but its specification is only known for {CHECKED_VERSIONS[0]}x; "
            "type: pip install 'wandb-workspaces>=0.4.13,<0.5'"
        )
    return of._to_model().model_dump(mode="json", by_alias=True, exclude_none=True)


def save(of: Any) -> str:
    """Saves the workspace `of` as a new view of its project and returns its address.

    Raises:
        RuntimeError: the server refuses it.
    """
    try:
        return of.save().url
    except Exception as error:  # wandb's client passes on those of its HTTP library
        raise RuntimeError(f"W&B did not take the workspace for {of.entity}/{of.project}: {error}") from None
