"""Words of users in Markdown and YAML: shown as they are, never understood."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html import escape

_MEANING = re.compile(r"([\\`*_{}\[\]#|~$])")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def plain(text: str) -> str:
    """Returns `text` as Markdown that shows exactly it, on one line.

    >>> plain("a|b <c>")
    'a\\\\|b &lt;c&gt;'
    """
    return _MEANING.sub(r"\\\1", escape(_line(text), quote=False))


def code(text: str) -> str:
    """Returns `text` as a code span, also where it holds backticks.

    >>> code("a`b")
    '`` a`b ``'
    """
    text = _line(text).replace("|", "¦")  # a table's cell would end at it, in code, too
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}" if longest else f"`{text}`"


def block(text: str, language: str) -> str:
    """Returns lines as a fenced block."""
    longest = max((len(run) for run in re.findall("`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table; its cells are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def word(text: str) -> str:
    """Returns `text` as a YAML scalar: JSON's strings are YAML's (https://yaml.org/spec/1.2.2/, 7.3.1)."""
    return text if re.fullmatch(r"[a-z][a-z0-9-]*", text) else json.dumps(_line(text))


def _line(text: str) -> str:
    shown = _CONTROLS.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
    return shown.encode("utf-8", "backslashreplace").decode()
