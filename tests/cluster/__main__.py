"""`python -m tests.cluster [COMMAND ...]`: a command, or else a shell, beside a cluster that ends with it."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.cluster.cluster import Cluster, why_not


def main(command: list[str]) -> int:
    reason = why_not()
    if reason:
        print(reason, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder, Cluster(Path(folder) / "cluster") as cluster:
        return subprocess.run(
            cluster.entered(command or ["bash"]), env={**os.environ, **cluster.settings}
        ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
