"""How pytest-xdist shares out the tests."""

import os

import pytest


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="only one process runs tests: no -n")
def test_a_files_tests_share_a_process(request: pytest.FixtureRequest) -> None:
    assert request.node.nodeid.endswith(f"@{request.path.as_posix()}")
