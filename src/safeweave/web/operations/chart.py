"""Charts drawn here as SVG: no script, no style inside. Whatever one shows stands in a table beside it, too."""

from collections.abc import Callable, Sequence

from markupsafe import Markup, escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720, 200, 64, 24, 14
ROW = 30
LABEL = 260  # of a row's name


class Series:
    """One of the things a chart shows for each day; `kind` is a class of pages.css."""

    def __init__(self, kind: str, values: Sequence[float | None]) -> None:
        self.kind, self.values = kind, values


def _nice(most: float) -> float:
    """The next round number: 1, 2 or 5 and noughts."""
    step = 1.0
    while step * 10 <= most:
        step *= 10
    return next((step * n for n in (1, 2, 5, 10) if step * n >= most), step * 10)


def columns(
    title: str, labels: Sequence[str], series: Sequence[Series], shown: Callable[[float], str], stacked: bool = True
) -> Markup:
    """A column for each label; of several series each lies over the one before, the first the largest (`stacked`)."""
    values = [value for each in series for value in each.values if value is not None]
    top = _nice(max(values, default=0) or 1)
    wide = (WIDTH - LEFT) / max(len(labels), 1)

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top)

    parts = [_open(WIDTH, HEIGHT, title)]
    for share in (0, 0.5, 1):
        at = y(top * share)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{escape(shown(top * share))}</text>')
    share_of = 1.0 if stacked else 1 / max(len(series), 1)
    for n, each in enumerate(series):
        for at, value in enumerate(each.values):
            if value:
                x = LEFT + wide * at + wide * 0.1 + (0 if stacked else wide * 0.8 * share_of * n)
                parts.append(
                    f'<rect class="{escape(each.kind)}" x="{x:.1f}" y="{y(value):.1f}"'
                    f' width="{wide * 0.8 * share_of:.1f}" height="{y(0) - y(value):.1f}"/>'
                )
    every = max(1, -(-len(labels) // 8))
    for at, label in enumerate(labels):
        if at % every == 0:
            parts.append(f'<text x="{LEFT + wide * (at + 0.5):.1f}" y="{HEIGHT - 6}" text-anchor="middle">'
                         f"{escape(label)}</text>")  # fmt: skip
    return Markup("".join([*parts, "</svg>"]))


def rows(title: str, named: Sequence[tuple[str, float]], shown: Callable[[float], str]) -> Markup:
    """A row for each name, with a bar as long as its value."""
    top = max((value for _, value in named), default=0) or 1
    parts = [_open(WIDTH, ROW * max(len(named), 1), title)]
    room = WIDTH - LABEL - 90
    for n, (name, value) in enumerate(named):
        middle = ROW * n + ROW / 2
        short = name if len(name) <= 34 else name[:33] + "…"
        parts.append(f'<text x="{LABEL - 8}" y="{middle + 4:.1f}" text-anchor="end">{escape(short)}</text>')
        parts.append(f'<rect class="first" x="{LABEL}" y="{middle - 9:.1f}" width="{max(room * value / top, 1):.1f}"'
                     ' height="18"/>')  # fmt: skip
        parts.append(
            f'<text x="{LABEL + room * value / top + 8:.1f}" y="{middle + 4:.1f}">{escape(shown(value))}</text>'
        )
    return Markup("".join([*parts, "</svg>"]))


def _open(width: int, height: int, title: str) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>"
    )
