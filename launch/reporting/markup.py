"""Tables and notes as HTML; every value is escaped."""

from collections.abc import Sequence
from html import escape


def table(
    rows: Sequence[Sequence[str]],
    *,
    head: Sequence[str] = (),
    kind: str = "facts",
    keys: Sequence[str] = (),
) -> str:
    """Returns rows of cells, the first of each as its heading, in a box that scrolls where it is too wide.

    Args:
        kind: CSS class of the table.
        keys: CSS classes of the rows' headings.
    """
    top = f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr>" if head else ""
    body = ""
    for i, (name, *cells) in enumerate(rows):
        key = f'<span class="{escape(keys[i])}">{escape(name)}</span>' if keys else escape(name)
        body += f"<tr><th>{key}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
    return f'<div class="wide"><table class="{escape(kind)}">{top}{body}</table></div>'


def note(text: str) -> str:
    """Returns a line of small print."""
    return f'<p class="note">{escape(text)}</p>'
