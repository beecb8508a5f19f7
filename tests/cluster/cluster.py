"""A throw-away Slurm cluster on one Linux machine, for tests: one controller and some nodes.

Nothing is written outside the cluster's folder, and nothing of it outlives the program that started it.
"""

import os
import re
import secrets
import shutil
import stat
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from tests.cluster import configuration
from tests.cluster.configuration import CONTROLLER
from tests.cluster.machines import Machines

_SOCKET_PATH = 107  # bytes, unix(7)
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "scontrol", "munged", "ip", "unshare", "nsenter", "setpriv")


def why_not() -> str | None:
    """Why no cluster can be started here, or None if one can."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"no {', '.join(missing)}: bash tests/cluster/install.sh installs them"
    if os.geteuid() != 0:
        return "the test cluster makes namespaces and needs root"
    trial = [
        "unshare",
        "--pid",
        "--fork",
        "--mount",
        "--net",
        "--uts",
        "mount",
        "-t",
        "proc",
        "proc",
        "/proc",
    ]
    done = subprocess.run(trial, capture_output=True, text=True)
    return f"namespaces are not allowed here: {done.stderr.strip()}" if done.returncode else None


class Cluster:
    """`with Cluster(folder) as cluster:`; the folder is private to it and removed at the end.

    ValueError: its path is so long that no step of a job could start (Slurm's sockets lie under it).
    """

    def __init__(self, folder: Path, *, nodes: int = 2, gpus: int = 8, cpus: int = 64) -> None:
        self.folder = folder.resolve()
        self.nodes = nodes
        self._gpus, self._cpus = gpus, cpus
        longest = self.folder / "spool" / f"node{nodes}" / f"node{nodes}_9999.4294967291"
        if len(os.fsencode(longest)) > _SOCKET_PATH:
            raise ValueError(
                f"{longest} is longer than a socket's path may be: give the cluster a short folder"
            )
        self._machines = Machines(self.folder)

    def __enter__(self) -> "Cluster":
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def up(self) -> None:
        """Write the configuration, start the controller and the nodes, wait until jobs can run."""
        self._write()
        munge = self.folder / "munge"
        # Authentication goes through a file, so one daemon serves all machines; --force: in a private folder.
        munged = f"munged --foreground --force --socket={munge}/socket --key-file={munge}/key"
        munged += f" --pid-file={munge}/pid --seed-file={munge}/seed --log-file={munge}/log"
        both = f"{munged} & exec slurmctld -D -i -f {self._conf}"
        self._machines.boot(CONTROLLER, ["bash", "-c", both], env=self.settings)
        for i in range(1, self.nodes + 1):
            self.revive(i)

        def idle() -> bool:
            return (
                self._run(["sinfo", "-h", "-N", "-p", "main", "-o", "%T"]).stdout.split()
                == ["idle"] * self.nodes
            )

        self._machines.until(idle, what="all nodes are idle", seconds=60)

    def down(self) -> None:
        """End every process of the cluster and remove its folder."""
        self._machines.cut_all()
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self, i: int) -> None:
        """Cut node `i` off its power: all its processes die at once."""
        self._machines.cut(f"node{i}")

    def revive(self, i: int) -> None:
        """Switch node `i` on."""
        name = f"node{i}"
        self._machines.boot(name, ["slurmd", "-D", "-f", str(self._conf), "-N", name], env=self.settings)

    def entered(self, command: Sequence[str]) -> list[str]:
        """The command as on a login node; it needs `settings` in its environment."""
        return self._machines.entered(CONTROLLER, command)

    @property
    def settings(self) -> dict[str, str]:
        """The environment variables by which Slurm's programs find this cluster."""
        return {"SLURM_CONF": str(self._conf)}

    def call(
        self, *command: str, cwd: Path | None = None, env: Mapping[str, str] | None = None, stdin: str = ""
    ) -> str:
        """Output of a command run in the controller's network. RuntimeError with its words where it fails."""
        done = self._run(command, cwd=cwd, env=env, stdin=stdin)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def submit(
        self, *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None, stdin: str = ""
    ) -> int:
        """Number of the job that `sbatch ARGUMENTS` makes."""
        out = self.call("sbatch", "--parsable", *arguments, cwd=cwd, env=env, stdin=stdin)
        return int(out.strip().split(";")[0])

    def job(self, number: int) -> dict[str, str]:
        """What Slurm records about a job: JobState, Restarts, ExitCode, Command ..."""
        line = self.call("scontrol", "-o", "show", "job", str(number))
        return dict(re.findall(r"(\S+?)=(.*?)(?:\s+(?=\S+=)|\s*$)", line))

    def wait(self, number: int, states: Collection[str] | str, *, seconds: float = 180) -> dict[str, str]:
        """The job's record once it is in one of the states; TimeoutError says where it stands and its log."""
        wanted = {states} if isinstance(states, str) else set(states)
        end = time.monotonic() + seconds
        while True:
            record = self.job(number)
            if record["JobState"] in wanted:
                return record
            if time.monotonic() > end:
                log = Path(record.get("StdOut", ""))
                text = log.read_text(errors="replace")[-4000:] if log.is_file() else "(no log)"
                raise TimeoutError(
                    f"job {number} is {record['JobState']} ({record.get('Reason')}) after {seconds:g} s,"
                    f" wanted {sorted(wanted)}; the end of its log:\n{text}"
                )
            time.sleep(0.3)

    def finish(self, number: int, *, seconds: float = 180) -> dict[str, str]:
        """The job's record when it has ended in any way."""
        ends = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY")
        return self.wait(number, ends, seconds=seconds)

    @property
    def _conf(self) -> Path:
        return self.folder / "etc" / "slurm.conf"

    def _run(
        self,
        command: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
    ) -> subprocess.CompletedProcess[str]:
        # A test's own environment may be that of a job: without Slurm's variables it is that of a login node.
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_", "SRUN_"))}
        return subprocess.run(
            self.entered(command),
            cwd=cwd,
            env={**clean, **(env or {}), **self.settings},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def _write(self) -> None:
        for name in ("etc", "dev", "munge", "state", "spool", "run", "log"):
            (self.folder / name).mkdir(parents=True)
        for path in (self.folder, self.folder / "munge"):
            path.chmod(0o700)
        key = self.folder / "munge" / "key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        for i in range(self._gpus):  # each a twin of /dev/null
            os.mknod(self.folder / "dev" / f"nvidia{i}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        (self.folder / "hosts").write_text(configuration.hosts(self.nodes))
        gres = configuration.gres_conf(self.folder, nodes=self.nodes, gpus=self._gpus)
        (self.folder / "etc" / "gres.conf").write_text(gres)
        (self.folder / "etc" / "job_submit.lua").write_text(configuration.job_submit_lua())
        self._conf.write_text(
            configuration.slurm_conf(
                self.folder, nodes=self.nodes, gpus=self._gpus, cpus=self._cpus, memory_mb=1_000_000
            )
        )
