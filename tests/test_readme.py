"""What README.md and docs/ promise: commands that parse, files that exist, the right figures."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from launch.cli import read_command
from launch.recipes import RECIPES
from tests.documented import PAGES, commands

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text()


def blocks(page: str) -> list[str]:
    """The shell commands of a page, one text per fenced block."""
    return re.findall(r"^```bash\n(.*?)^```$", (REPOSITORY / page).read_text(), flags=re.M | re.S)


def set_up() -> list[str]:
    return [line for line in commands("README.md") if line.startswith("git clone")]


def rows(section: str) -> list[list[str]]:
    """The cells of a section's table, without its ruler."""
    text = README.partition(f"## {section}\n")[2].partition("\n## ")[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"
    ]
    return [row for row in cells if set("".join(row)) != {"-"}]


@pytest.mark.parametrize("page", PAGES)
def test_shell_parses(page: str) -> None:
    for block in blocks(page):
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_two_commands_do_all_the_set_up() -> None:
    install, test = set_up()
    start = 'git clone "$REPO" rexnet && cd rexnet && python3 -m venv .venv && '
    start += ".venv/bin/pip install -c constraints/cpu.txt -e "
    assert install == f'{start}".[train]" && .venv/bin/torchrun launch/train.py'
    assert test.startswith(f'{start}".[test]" && .venv/bin/python -m pytest ')


def test_ci_finds_the_test_command() -> None:
    """.ci/run takes the README's line apart by the same rules."""
    script = (REPOSITORY / ".ci" / "run").read_text()
    start = script.index("readme=$(grep")
    cut = script[start : script.index("\n\n", start)]
    program = f'set -eu\n{cut}\nprintf "%s\\n" "$setup" "$tests"'
    done = subprocess.run(["bash", "-c", program], cwd=REPOSITORY, capture_output=True, text=True)
    setup, tests = done.stdout.splitlines()
    assert f'git clone "$REPO" rexnet && cd rexnet && {setup} && {tests}' == set_up()[1]
    assert ' -m "not slow"' in tests


@pytest.mark.parametrize(
    "flag", re.findall(r"--[a-z-]+", README.partition("Short flags")[2].partition("\n\n")[0])
)
def test_short_flags_exist(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert read_command(["rexnet_1.0", "--help"]) is None
    assert re.search(rf"(^|[\s,]){flag}\b", capsys.readouterr().out), f"README names {flag}"


@pytest.mark.parametrize("page", PAGES)
def test_named_files_exist(page: str) -> None:
    text = (REPOSITORY / page).read_text()
    names = set(
        re.findall(
            r"\b((?:launch|slurm|constraints|docs|tests|rexnet)/[\w./-]*\w\.(?:py|sh|txt|md|json))", text
        )
    )
    links = {link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link}
    folder = (REPOSITORY / page).parent
    placeholders = {"slurm/RECIPE.sh", "launch/NAME.py"}
    missing = [name for name in names - placeholders if not (REPOSITORY / name).exists()]
    assert missing + [link for link in links if not (folder / link).exists()] == []


def test_named_recipes_exist() -> None:
    named = set(re.findall(r"\b(rexnet_\d\.\d|cifar10|demo)\b", "\n".join(commands("README.md"))))
    assert named and named <= set(RECIPES)


def test_expected_figures_are_those_of_variants() -> None:
    variants = json.loads((REPOSITORY / "rexnet" / "variants.json").read_text())
    head, *body = rows("Step 1: check this program on your ImageNet")
    assert head == ["Network", "`--expect`", "Weights"]
    evaluated = {name: entry["evaluated"] for name, entry in variants.items() if entry["evaluated"]}
    assert {row[0]: float(row[1]) for row in body} == {
        name: round(figures["acc1"], 2) for name, figures in evaluated.items()
    }


def test_requirements_table_is_that_of_the_sets() -> None:
    table = {row[0]: row[1:] for row in rows("Install")}
    for column, name in enumerate(("cpu", "v100")):
        lines = (REPOSITORY / "constraints" / f"{name}.txt").read_text().splitlines()
        assert f"torch=={table['torch'][column]}" in lines
    assert 'requires-python = ">=3.10,<3.15"' in (REPOSITORY / "pyproject.toml").read_text()
    assert table["Python"] == ["3.10 to 3.14", "3.10 to 3.14"]


def test_first_lines_link_paper_and_official_code() -> None:
    first = "\n".join(README.splitlines()[:5])
    assert "https://arxiv.org/abs/2007.00992" in first
    assert "https://github.com/clovaai/rexnet" in first
