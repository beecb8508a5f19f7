"""Machines made of namespaces: each is a process in its own PID, network, mount and host-name namespaces.

They share the file system of the machine they run on. The first one's network holds a bridge, each other one
has a card plugged into it. Nothing of a machine outlives its first process.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.cluster import configuration
from tests.cluster.configuration import CONTROLLER, CONTROLLER_ADDRESS

HERE = Path(__file__).resolve().parent


class Machines:
    """The machines that run, by name; `folder` holds their logs and their /etc/hosts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def boot(self, name: str, command: Sequence[str], *, env: Mapping[str, str]) -> None:
        """Switch a machine on; it runs the command. The controller comes first."""
        born, plugged = self.folder / f"{name}.born", self.folder / f"{name}.plugged"
        born.unlink(missing_ok=True)
        plugged.unlink(missing_ok=True)
        namespaces = ["--pid", "--fork", "--kill-child=KILL", "--mount", "--net", "--uts"]
        first = ["bash", str(HERE / "node.sh"), name, str(self.folder), *command]
        with (self.folder / "log" / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                # With the death of this program, however it comes, the kernel ends the machines too.
                ["setpriv", "--pdeathsig", "KILL", "unshare", *namespaces, *first],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **env},
            )
        self.until(born.exists, what=f"{name} starts", seconds=20)
        self._plug(name)
        plugged.touch()

    def cut(self, name: str) -> None:
        """Cut a machine off its power: all its processes die at once."""
        machine = self._running.pop(name, None)
        if machine is not None and machine.poll() is None:
            machine.send_signal(signal.SIGKILL)
            machine.wait()

    def cut_all(self) -> None:
        for name in list(self._running):
            self.cut(name)

    def entered(self, name: str, command: Sequence[str]) -> list[str]:
        """The command as one that runs in a machine's network."""
        return ["nsenter", f"--net=/proc/{self._first_process(name)}/ns/net", *command]

    def until(self, condition: Callable[[], bool], *, what: str, seconds: float) -> None:
        """Return when the condition holds; TimeoutError shows the ends of all logs."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(
                    f"waited {seconds:g} s until {what}; the ends of the logs:\n{self._logs()}"
                )
            time.sleep(0.1)

    def _plug(self, name: str) -> None:
        if name == CONTROLLER:
            self._ip(
                CONTROLLER,
                "link add bridge type bridge",
                f"addr add {CONTROLLER_ADDRESS}/24 dev bridge",
                "link set bridge up",
            )
            return
        i = int(name.removeprefix("node"))
        self._ip(
            CONTROLLER,
            f"link add card{i} type veth peer name eth0 netns {self._first_process(name)}",
            f"link set card{i} master bridge up",
        )
        self._ip(name, f"addr add {configuration.node_address(i)}/24 dev eth0", "link set eth0 up")

    def _ip(self, name: str, *lines: str) -> None:
        command = self.entered(name, ["ip", "-batch", "-"])
        subprocess.run(command, input="\n".join(lines) + "\n", text=True, check=True)

    def _first_process(self, name: str) -> int:
        """Process 1 of a machine, by its number outside."""
        parent = self._running[name].pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        if not children:
            raise RuntimeError(f"{name} is not running; the ends of the logs:\n{self._logs()}")
        return int(children[0])

    def _logs(self) -> str:
        logs = sorted((self.folder / "log").glob("*.log"))
        return "\n".join(f"== {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in logs)
