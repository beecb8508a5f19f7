"""A run's folder and the job that began it."""

from pathlib import Path

import pytest

from launch.folder import RunFolder, starter


@pytest.mark.parametrize(
    ("job", "attempt", "begun"),
    [("7", "1", True), ("7", "0", False), ("8", "1", False), (None, "0", False)],
    ids=["queued again", "the same attempt", "another job", "by hand"],
)
def test_fresh_is_done_where_the_job_has_begun_the_run_before(
    job: str | None, attempt: str, begun: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job with --fresh starts anew once, not at every requeue."""
    folder = RunFolder(tmp_path / "run")

    def begins(job: str | None, attempt: str) -> None:
        told = "" if job is None else str(tmp_path / f"cluster-{job}.{attempt}.json")
        monkeypatch.setenv("REXNET_ATTEMPT", told)

    begins(job, attempt)
    assert not folder.begun_by_earlier_attempt()
    begins("7", "0")
    folder.write_facts({"begun_by": starter()})
    begins(job, attempt)
    assert folder.begun_by_earlier_attempt() is begun


def test_a_record_of_an_earlier_version_says_nothing_of_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REXNET_ATTEMPT", "/runs/.slurm/cluster-7.1.json")
    folder = RunFolder(tmp_path)
    folder.write_facts({"identity": "0a1b2c3d"})
    assert not folder.begun_by_earlier_attempt()


def test_a_damaged_record_is_moved_aside_by_fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REXNET_ATTEMPT", "/runs/.slurm/cluster-7.1.json")
    (tmp_path / "run.json").write_text("{")
    assert not RunFolder(tmp_path).begun_by_earlier_attempt()
