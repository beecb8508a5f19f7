"""Builds the W&B workspace and report: our accuracy beside the published one, curves, speed, health, cost.

python launch/dashboard.py --dry-run             # no key, no network: the specifications, and a table
python launch/dashboard.py --entity YOUR-TEAM    # saves both to W&B
"""

import json
import os
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

if __name__ == "__main__":  # run as a file: put the repository, not launch/, first on the path
    here = Path(__file__).resolve().parent
    sys.path[:] = [str(here.parent), *(p for p in sys.path if Path(p).resolve() != here)]

import tyro

from launch.reporting import account, comparison, wandb_report, workspace
from launch.track.connection import reachable


@dataclass(frozen=True, kw_only=True, slots=True)
class Dashboard:
    """The W&B workspace and report: accuracy beside the published one, curves, speed, health, cost."""

    runs: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Folders of runs to compare in the table; all under runs/ when none is given."""

    dry_run: bool = False
    """Write the specifications as JSON instead of saving them: needs neither network nor key."""

    spec: Path = Path("runs/dashboard.json")
    """Where --dry-run writes the workspace's specification; the report's goes beside it."""

    entity: str = ""
    """W&B user or team that owns the project; the key's own when not given."""

    project: str = os.environ.get("WANDB_PROJECT", "rexnet")
    """W&B project."""


def main(asked: Dashboard) -> None:
    runs = asked.runs or sorted(p.parent for p in Path("runs").glob("*/wandb"))
    standings = [comparison.standing(run) for run in runs]
    print(comparison.table(standings))
    build = partial(wandb_report.report, project=asked.project, runs=standings)
    if asked.dry_run:
        places = {"workspace": asked.spec, "report": asked.spec.with_name(f"{asked.spec.stem}-report.json")}
        space = workspace.workspace(entity=asked.entity, project=asked.project)
        asked.spec.parent.mkdir(parents=True, exist_ok=True)
        for of, (name, place) in zip((space, build(entity="", online=False)), places.items(), strict=True):
            place.write_text(json.dumps(workspace.specification(of), indent=1) + "\n")
            print(f"{name} specification: {place}")
    else:
        entity = account.sign_in(entity=asked.entity, reachable=partial(reachable, timeout=5.0))
        print(f"workspace: {workspace.save(workspace.workspace(entity=entity, project=asked.project))}")
        print(f"report: {workspace.save(build(entity=entity))}")


if __name__ == "__main__":
    try:
        main(tyro.cli(Dashboard))
    except (ValueError, FileNotFoundError, RuntimeError) as error:
        print(f"dashboard.py: {error}", file=sys.stderr)
        sys.exit(2)
