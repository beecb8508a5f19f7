"""A throw-away Slurm cluster on one Linux machine, for tests: one controller and some nodes.

Each machine of it is a process in its own PID, network, mount and host-name namespaces, with the machine's file
system shared. The controller's network holds a bridge, each node a card plugged into it. Nothing is written
outside the cluster's folder, and nothing of a machine outlives its first process.
"""

import os
import re
import secrets
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from tests.cluster import configuration
from tests.cluster.configuration import CONTROLLER, CONTROLLER_ADDRESS

HERE = Path(__file__).resolve().parent
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "scontrol", "munged", "ip", "unshare", "nsenter", "setpriv")


def why_not() -> str | None:
    """Why no cluster can be started here, or None if one can."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"no {', '.join(missing)}: bash tests/cluster/install.sh installs them"
    if os.geteuid() != 0:
        return "the test cluster makes namespaces and needs root"
    trial = ["unshare", "--pid", "--fork", "--mount", "--net", "--uts", "mount", "-t", "proc", "proc", "/proc"]
    done = subprocess.run(trial, capture_output=True, text=True)
    return f"namespaces are not allowed here: {done.stderr.strip()}" if done.returncode else None


class Cluster:
    """`with Cluster(folder) as cluster:`; the folder is private to it and removed at the end."""

    def __init__(self, folder: Path, *, nodes: int = 2, gpus: int = 8, cpus: int = 64) -> None:
        self.folder = folder.resolve()
        self.nodes = nodes
        self._gpus, self._cpus = gpus, cpus
        self._machines: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Cluster":
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    # -------------------------------------------------------------------------------------------- life

    def up(self) -> None:
        """Write the configuration, start the controller and the nodes, wait until jobs can run."""
        self._write()
        munged = f"munged --foreground --force --socket={self.folder}/munge/socket --key-file={self.folder}/munge/key" + (
            f" --pid-file={self.folder}/munge/pid --seed-file={self.folder}/munge/seed"
            f" --log-file={self.folder}/munge/log"
        )
        # The controller's authentication socket is a file, so one munged serves all machines.
        self._boot(CONTROLLER, ["bash", "-c", f"{munged} & exec slurmctld -D -i -f {self._conf}"])
        for i in range(1, self.nodes + 1):
            self.revive(i)
        self._wait_until_idle()

    def down(self) -> None:
        """End every process of the cluster and remove its folder."""
        for name in list(self._machines):
            self._cut(name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self, i: int) -> None:
        """Cut node `i` off its power: all its processes die at once."""
        self._cut(f"node{i}")

    def revive(self, i: int) -> None:
        """Switch node `i` on."""
        name = f"node{i}"
        self._boot(name, ["slurmd", "-D", "-f", str(self._conf), "-N", name])

    # -------------------------------------------------------------------------------------------- use

    def call(
        self, *command: str, cwd: Path | None = None, env: Mapping[str, str] | None = None, stdin: str = ""
    ) -> str:
        """Output of a command run in the controller's network. RuntimeError with its words where it fails."""
        done = self._inside(command, cwd=cwd, env=env, stdin=stdin)
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

    # -------------------------------------------------------------------------------------------- inside

    @property
    def _conf(self) -> Path:
        return self.folder / "etc" / "slurm.conf"

    def _inside(
        self,
        command: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
    ) -> subprocess.CompletedProcess[str]:
        # A test's own environment may be that of a job: without Slurm's variables it is that of a login node.
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_", "SRUN_"))}
        network = f"--net=/proc/{self._first_process(CONTROLLER)}/ns/net"
        return subprocess.run(
            ["nsenter", network, *command],
            cwd=cwd,
            env={**clean, **(env or {}), "SLURM_CONF": str(self._conf)},
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
        self._conf.write_text(
            configuration.slurm_conf(
                self.folder, nodes=self.nodes, gpus=self._gpus, cpus=self._cpus, memory_mb=1_000_000
            )
        )

    def _boot(self, name: str, command: Sequence[str]) -> None:
        born, plugged = self.folder / f"{name}.born", self.folder / f"{name}.plugged"
        born.unlink(missing_ok=True)
        plugged.unlink(missing_ok=True)
        namespaces = ["--pid", "--fork", "--kill-child=KILL", "--mount", "--net", "--uts"]
        first = ["bash", str(HERE / "node.sh"), name, str(self.folder), *command]
        with (self.folder / "log" / f"{name}.log").open("ab") as log:
            self._machines[name] = subprocess.Popen(
                # With the death of this program, however it comes, the kernel ends the machines too.
                ["setpriv", "--pdeathsig", "KILL", "unshare", *namespaces, *first],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={"PATH": os.environ["PATH"], "SLURM_CONF": str(self._conf), "LANG": "C.UTF-8"},
            )
        self._until(born.exists, what=f"{name} starts", seconds=10)
        self._plug(name)
        plugged.touch()

    def _plug(self, name: str) -> None:
        if name == CONTROLLER:
            lines = f"link add bridge type bridge\naddr add {CONTROLLER_ADDRESS}/24 dev bridge\nlink set bridge up\n"
            self._ip(CONTROLLER, lines)
            return
        i = int(name.removeprefix("node"))
        self._ip(
            CONTROLLER,
            f"link add card{i} type veth peer name eth0 netns {self._first_process(name)}\n"
            f"link set card{i} master bridge up\n",
        )
        self._ip(name, f"addr add {configuration.node_address(i)}/24 dev eth0\nlink set eth0 up\n")

    def _ip(self, machine: str, lines: str) -> None:
        network = f"--net=/proc/{self._first_process(machine)}/ns/net"
        subprocess.run(["nsenter", network, "ip", "-batch", "-"], input=lines, text=True, check=True)

    def _first_process(self, machine: str) -> int:
        """Process 1 of a machine, by its number outside."""
        parent = self._machines[machine].pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        if not children:
            raise RuntimeError(f"{machine} is not running; its log is {self.folder}/log/{machine}.log")
        return int(children[0])

    def _cut(self, name: str) -> None:
        machine = self._machines.pop(name, None)
        if machine is not None and machine.poll() is None:
            machine.send_signal(signal.SIGKILL)
            machine.wait()

    def _wait_until_idle(self) -> None:
        def idle() -> bool:
            listing = self._inside(["sinfo", "-h", "-N", "-p", "main", "-o", "%T"])
            return listing.stdout.split() == ["idle"] * self.nodes

        self._until(idle, what="all nodes are idle", seconds=30)

    def _until(self, condition, *, what: str, seconds: float) -> None:  # noqa: ANN001
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"waited {seconds:g} s until {what}; the ends of the logs:\n{self._logs()}")
            time.sleep(0.1)

    def _logs(self) -> str:
        logs = sorted((self.folder / "log").glob("*.log"))
        return "\n".join(f"== {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in logs)
