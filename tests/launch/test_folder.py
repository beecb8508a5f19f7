"""A run's folder and the job that began it."""

from pathlib import Path

import pytest

from launch.claim import slurm_job
from launch.folder import RunFolder


@pytest.mark.parametrize(
    ("job", "attempt", "begun"),
    [("7", "1", True), ("7", "0", False), ("8", "1", False), (None, "0", False)],
    ids=["queued again", "by hand in one allocation", "another job", "no Slurm"],
)
def test_fresh_is_done_where_the_job_has_begun_the_run_before(
    job: str | None, attempt: str, begun: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sbatch slurm/RECIPE.sh --fresh` starts anew once, not at every requeue."""
    folder = RunFolder(tmp_path / "run")

    def begins(job: str | None, attempt: str) -> None:
        monkeypatch.delenv("SLURM_JOB_ID", raising=False)
        if job is not None:
            monkeypatch.setenv("SLURM_JOB_ID", job)
        monkeypatch.setenv("SLURM_RESTART_COUNT", attempt)

    begins(job, attempt)
    assert not folder.begun_by_earlier_attempt()
    begins("7", "0")
    folder.write_facts({"begun_by": slurm_job()})
    begins(job, attempt)
    assert folder.begun_by_earlier_attempt() is begun


def test_a_record_of_an_earlier_version_says_nothing_of_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    folder = RunFolder(tmp_path)
    folder.write_facts({"identity": "0a1b2c3d"})
    assert not folder.begun_by_earlier_attempt()
