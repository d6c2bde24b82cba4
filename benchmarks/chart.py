"""Charts as SVG, drawn by hand: two kinds are not worth a library. They are readable on white and on black.

`bars` shows one figure of several libraries, case by case; `lines` how figures change with a number that grows by tens.
"""

from html import escape

WIDTH = 760
FONT = "font-family='ui-sans-serif, system-ui, sans-serif'"
INK = "#7a7a7a"
COLOURS = {
    "verdigris": "#2a9d8f",
    "gevent": "#e76f51",
    "eventlet": "#bc6c25",
    "asyncio": "#8d99ae",
    "uvloop": "#5c6bc0",
    "uvloop streams": "#9fa8da",
    "bare epoll loop": "#bdbdbd",
}


def bars(title, unit, groups):
    """``groups``: (what, {library: figure}) from top to bottom; every group has a scale of its own."""
    top, bar, gap, left, right = 34, 15, 14, 190, 90
    parts = []
    y = top
    for what, figures in groups:
        parts.append(text(0, y + 11, what, weight="bold"))
        y += 18
        most = max(figures.values())
        for library, figure in figures.items():
            width = max(1, (WIDTH - left - right) * figure / most)
            parts.append(text(left - 8, y + 11, library, anchor="end"))
            parts.append(
                f"<rect x='{left}' y='{y}' width='{width:.1f}' height='{bar - 3}' rx='2' fill='{COLOURS[library]}'/>"
            )
            parts.append(text(left + width + 6, y + 11, f"{short(figure)} {unit}"))
            y += bar
        y += gap
    return page(title, y, parts)


def lines(title, unit, axis, series):
    """``series``: {library: {number: figure}}; both axes go by tens."""
    from math import ceil, floor, log10

    top, bottom, left, right, height = 40, 46, 70, 130, 300
    numbers = sorted({number for points in series.values() for number in points})
    figures = [figure for points in series.values() for figure in points.values()]
    low, high = floor(log10(min(figures))), ceil(log10(max(figures)))
    high = max(high, low + 1)

    def x_of(number):
        first, last = log10(numbers[0]), log10(numbers[-1])
        return left + (WIDTH - left - right) * (log10(number) - first) / ((last - first) or 1)

    def y_of(figure):
        return top + height * (high - log10(figure)) / (high - low)

    parts = []
    for power in range(low, high + 1):
        y = y_of(10**power)
        parts.append(f"<path d='M{left} {y:.1f}H{WIDTH - right}' stroke='{INK}' stroke-opacity='.35'/>")
        parts.append(text(left - 8, y + 4, f"{10**power:,} {unit}", anchor="end"))
    for number in numbers:
        parts.append(text(x_of(number), top + height + 18, f"{number:,}", anchor="middle"))
    parts.append(text((left + WIDTH - right) / 2, top + height + 38, axis, anchor="middle"))
    labels = []
    for library, points in series.items():
        way = [(x_of(number), y_of(points[number])) for number in sorted(points)]
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in way)
        colour = COLOURS[library]
        parts.append(f"<polyline points='{drawn}' fill='none' stroke='{colour}' stroke-width='2.5'/>")
        parts.extend(f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3.5' fill='{colour}'/>" for x, y in way)
        labels.append([way[-1][1] + 4, way[-1][0] + 9, f"{library} {short(points[max(points)])}"])
    below = None
    for label in sorted(labels):
        # Not one on top of the other.
        label[0] = label[0] if below is None else max(label[0], below + 15)
        below = label[0]
        parts.append(text(label[1], label[0], label[2]))
    return page(title, top + height + bottom, parts)


def page(title, height, parts):
    body = "\n".join([text(0, 16, title, size=15, weight="bold"), *parts])
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='-8 -4 {WIDTH + 16} {height + 8:.0f}' "
        f"role='img' aria-label='{escape(title, quote=True)}' {FONT}>\n{body}\n</svg>\n"
    )


def text(x, y, what, size=12, anchor="start", weight="normal"):
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' text-anchor='{anchor}' font-weight='{weight}' "
        f"fill='{INK}'>{escape(what)}</text>"
    )


def short(figure):
    """A figure with no more digits than it is worth."""
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.1f}" if figure >= 10 else f"{figure:.2f}"
