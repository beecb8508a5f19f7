"""What the cluster of these tests refuses to be."""

from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster


def test_a_folder_too_deep_for_slurms_sockets_is_refused(tmp_path: Path) -> None:
    """Every job would be held with launch_failed_requeued_held, and no log say why."""
    with pytest.raises(ValueError, match=r"node3_9999\.4294967291 is longer than a socket's path may be"):
        Cluster(tmp_path / ("deep" * 20), nodes=3)
    Cluster(Path("/tmp/cluster"), nodes=3)
