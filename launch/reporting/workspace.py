"""The W&B workspace of this project, built from code: accuracy beside the published one, speed, health."""

import importlib.metadata
from typing import Any

from launch.reporting.panels import COLUMNS, sections

CHECKED_VERSIONS = ("0.4.",)
"""Beginnings of the wandb-workspaces versions whose private `_to_model` is known to work here."""

_CLOSED = ("Health", "Cost")


def workspace(*, entity: str, project: str) -> Any:
    """Returns a `wandb_workspaces.workspaces.Workspace`; nothing is sent."""
    from wandb_workspaces import workspaces

    return workspaces.Workspace(
        entity=entity,
        project=project,
        name="ReXNet against the published accuracy",
        sections=[
            workspaces.Section(name=name, panels=panels, is_open=name not in _CLOSED)
            for name, panels in sections().items()
        ],
        settings=workspaces.WorkspaceSettings(x_axis="epoch"),
        runset_settings=workspaces.RunsetSettings(pinned_columns=list(COLUMNS)),
    )


def specification(of: Any) -> dict[str, Any]:
    """Returns what `save` would send for a workspace or report. The library has no public way to ask for it.

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
    """Saves a workspace, as a new view of its project, or a report; returns its address.

    Raises:
        RuntimeError: the server refuses it.
    """
    try:
        return of.save().url
    except Exception as error:  # wandb's client passes on those of its HTTP library
        kind = type(of).__name__.lower()
        raise RuntimeError(f"W&B did not take the {kind} for {of.entity}/{of.project}: {error}") from None
