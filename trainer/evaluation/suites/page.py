"""What suites found as one HTML file: a table and a plot for each suite, and examples that were won and lost.

Plots are inline SVG and pictures are inline JPEG, so that the file can be sent as it is. Shapes: Q queries.
"""

import base64
import html
import io
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from evaluation.bench import Figures
from evaluation.layouts.items import Content, Picture
from evaluation.suites.outcome import Outcome, Queries, Shown
from evaluation.suites.retrieval import MORE_RECALL_AT, WAYS
from towers.preprocess import decode

EXAMPLES = 4
THUMBNAIL = 160
COLOURS = ("#1b6ca8", "#c8553d", "#3a7d44", "#7b4b94", "#b8860b", "#444444")
STYLE = (
    "body{font:16px/1.5 system-ui;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}"
    "table{border-collapse:collapse}td,th{padding:.1rem .7rem;text-align:right}td:first-child,th:first-child{text-align:left}"
    "tr:nth-child(even){background:#f3f3f3}.examples{display:flex;flex-wrap:wrap;gap:1rem}"
    "figure{width:22rem;margin:0;padding:.5rem;border:1px solid #ccc}figure img{display:block}figcaption{font-size:.9rem}"
)
Columns = Mapping[str, Outcome]


def render(suites: Sequence[tuple[str, str, Columns, Sequence[str]]]) -> str:
    """Of (name, what it is, outcomes by column, figures to show) of each suite."""
    body = "".join(section(*each) for each in suites)
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>Evaluation</title><style>{STYLE}</style>"
        f"<h1>Evaluation</h1><p>Figures in per cent; ties count against the model.</p>{body}</html>\n"
    )


def section(name: str, what: str, columns: Columns, shown: Sequence[str]) -> str:
    """One suite."""
    heading = f"<h2>{html.escape(name)}</h2><p>{html.escape(what)}</p>"
    return heading + table(columns, shown) + plot(columns) + "".join(examples(columns))


def table(columns: Columns, shown: Sequence[str]) -> str:
    """A row for each figure, a column for each tier of each model."""
    head = "".join(f"<th scope='col'>{html.escape(column)}</th>" for column in columns)
    rows = []
    for figure in shown:
        values = [outcome.figures.get(figure) for outcome in columns.values()]
        cells = "".join(f"<td>{'' if value is None else f'{100 * value:.1f}'}</td>" for value in values)
        rows.append(f"<tr><th scope='row'>{html.escape(figure)}</th>{cells}</tr>")
    return f"<table><tr><th></th>{head}</tr>{''.join(rows)}</table>"


def plot(columns: Columns) -> str:
    """Recall by k, a picture for each way; nothing where there are no recalls."""
    return "".join(
        recall_plot(
            way, {name: curve for name, outcome in columns.items() if (curve := recall_curve(way, outcome.figures))}
        )
        for way in WAYS
    )


def recall_curve(way: str, figures: Figures) -> list[float]:
    """Recalls in the order of `MORE_RECALL_AT`: of the suite, or the means over its languages."""
    for prefix in ("", "mean "):
        if f"{prefix}{way}_R@1" in figures:
            return [figures[f"{prefix}{way}_R@{k}"] for k in MORE_RECALL_AT]
    return []


def recall_plot(way: str, curves: Mapping[str, list[float]]) -> str:
    """An SVG of 420 x 240 with a line for each column."""
    if not curves:
        return ""
    left, top, width, height = 40, 16, 240, 180
    label = way.replace("_", " ")
    parts = [f"<svg viewBox='0 0 420 240' width='420' height='240' role='img' aria-label='recall by k, {label}'>"]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = top + height * (1 - share)
        parts.append(f"<line x1='{left}' x2='{left + width}' y1='{y:.1f}' y2='{y:.1f}' stroke='#ddd'/>")
        parts.append(f"<text x='{left - 6}' y='{y + 4:.1f}' font-size='11' text-anchor='end'>{share:.0%}</text>")
    step = width / (len(MORE_RECALL_AT) - 1)
    for number, k in enumerate(MORE_RECALL_AT):
        parts.append(
            f"<text x='{left + number * step:.1f}' y='{top + height + 16}' font-size='11' text-anchor='middle'>{k}</text>"
        )
    for number, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(f"{left + at * step:.1f},{top + height * (1 - share):.1f}" for at, share in enumerate(curve))
        parts.append(f"<polyline points='{points}' fill='none' stroke='{colour}' stroke-width='2'/>")
        parts.append(
            f"<text x='{left + width + 10}' y='{top + 12 + 16 * number}' font-size='11' fill='{colour}'>{html.escape(name)}</text>"
        )
    parts.append(
        f"<text x='{left + width / 2}' y='{top + height + 34}' font-size='11' text-anchor='middle'>recall at k, {label}</text></svg>"
    )
    return "".join(parts)


def examples(columns: Columns) -> Iterator[str]:
    """Won and lost by the first column; where there is a second one, what one of them wins and the other loses."""
    names = list(columns)
    first = columns[names[0]]
    for asked, queries in first.queries.items():
        won = queries.rank_Q == 0
        if len(names) == 1:
            chosen = {f"won by {names[0]}": won, f"lost by {names[0]}": ~won}
        else:
            other = columns[names[1]].queries[asked].rank_Q == 0
            chosen = {
                f"{names[0]} wins, {names[1]} loses": won & ~other,
                f"{names[1]} wins, {names[0]} loses": ~won & other,
            }
        for what, is_chosen in chosen.items():
            numbers = spread(np.flatnonzero(is_chosen))
            if len(numbers):
                cards = "".join(card(queries, int(number), names[0]) for number in numbers)
                title = f"{asked.replace('_', ' ')}: {what} ({int(is_chosen.sum())} of {len(won)})"
                yield f"<h3>{html.escape(title)}</h3><div class='examples'>{cards}</div>"


def spread(numbers: np.ndarray) -> np.ndarray:
    """A few of them, evenly over all."""
    return numbers[np.unique(np.linspace(0, len(numbers) - 1, EXAMPLES).astype(int))] if len(numbers) else numbers


def card(queries: Queries, number: int, model: str) -> str:
    """The query, its right answer, and what the first column has put first."""
    first = queries.answer(number, int(queries.first_Q[number]))
    parts = [("asked", queries.query(number)), ("right", queries.right(number))]
    if queries.rank_Q[number] > 0:
        parts.append((f"first by {model}", first))
    shown = "".join(f"<figcaption>{html.escape(label)}:</figcaption>{as_html(each)}" for label, each in parts)
    return f"<figure>{shown}<figcaption>rank {int(queries.rank_Q[number]) + 1}</figcaption></figure>"


def as_html(shown: Shown) -> str:
    """A text, or a picture as a thumbnail."""
    if isinstance(shown, str):
        return f"<figcaption><strong>{html.escape(shown)}</strong></figcaption>"
    return f"<img alt='{html.escape(shown.file.name, quote=True)}' src='data:image/jpeg;base64,{thumbnail(shown)}'>"


def thumbnail(picture: Picture) -> str:
    """A JPEG of at most 160 pixels a side, base64."""
    content: Content = picture.read()
    image = decode(content) if isinstance(content, bytes) else content
    image = image.convert("RGB")
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return base64.b64encode(buffer.getvalue()).decode()
