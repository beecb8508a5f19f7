"""Every command of README.md and docs/, and how it is known to work."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (REPOSITORY / "docs").glob("*.md"))]


@dataclass(frozen=True, slots=True)
class Way:
    """How commands that `pattern` matches from their start are known to work.

    `executed`: `by` names the test, or the script, that does so; `parsed`: tests/test_documented.py has the
    real program read the arguments, since the command wants ImageNet, GPUs, an account, or hours;
    `elsewhere`: `by` says why no test can.
    """

    pattern: str
    how: Literal["executed", "parsed", "elsewhere"]
    by: str = ""


WAYS = (
    Way(r"git clone .* launch/train\.py$", "executed", "tests/launch/test_programs.py"),
    Way(r"git clone .* pytest ", "executed", ".ci/run"),
    Way(r"\.venv/bin/pip install .*--extra-index-url", "elsewhere", "another index"),
    Way(r"curl ", "elsewhere", "another host's file"),
    Way(r"\.venv/bin/pip install --no-index", "elsewhere", "a folder of wheels for GPUs"),
    Way(r"\.venv/bin/pip install .*(v100|ninja)", "elsewhere", "wheels for GPUs, or a CUDA toolkit"),
    Way(r".* --group apex$", "elsewhere", "a CUDA toolkit"),
    Way(r"python3 -m pip download", "elsewhere", "5 GB of wheels"),
    Way(r'\.venv/bin/python -c "import amp_C', "elsewhere", "apex, built with a CUDA toolkit"),
    Way(r"\.venv/bin/python -c .*sm_70", "elsewhere", "a build of torch for GPUs"),
    # its extra `test` holds `train` and `export`
    Way(r"(\.venv/bin/)?pip install -c constraints/cpu\.txt .*export", "executed", ".ci/run"),
    Way(r"apptainer ", "elsewhere", "the image has not been built yet: slurm/rexnet.def says so"),
    Way(r"python -m pytest -m gpu", "elsewhere", "a GPU; docs/gpu.md says where it has run"),
    Way(r"python -m tests\.evidence", "executed", "tests/evidence/test_evidence.py"),
    Way(r"python tests/chaos\.py", "executed", "tests/test_chaos.py"),
    Way(r"source slurm/site", "executed", "tests/slurm/test_site.py"),
    Way(r"bash slurm/sync\.sh", "executed", "tests/slurm/test_sync.py"),
    Way(r"bash slurm/RECIPE\.sh", "executed", "tests/slurm/test_site.py"),
    Way(r"python launch/dashboard\.py", "executed", "tests/launch/test_dashboard.py"),
    Way(r"sbatch .*slurm/\S+\.sh", "parsed"),
    Way(r"(\S+ )*launch/\w+\.py", "parsed"),
)


def commands(page: str) -> list[str]:
    """Returns the lines of a page's shell blocks without their comments; of the README also its table's."""
    text = (REPOSITORY / page).read_text()
    blocks = re.findall(r"^```bash\n(.*?)^```$", text, flags=re.M | re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    table = text.partition("## Commands")[2].partition("\n## ")[0] if page == "README.md" else ""
    found = lines + re.findall(r"^\| `([^`]+)`", table, flags=re.M)
    stripped = (re.sub(r"\s+#.*$", "", line).strip() for line in found)
    return [line for line in dict.fromkeys(stripped) if line and not line.startswith("#")]


def way(command: str) -> Way | None:
    """Returns the first way that fits."""
    return next((way for way in WAYS if re.match(way.pattern, command)), None)
