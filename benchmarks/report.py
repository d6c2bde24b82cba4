"""The report: tables for the terminal, and a page with charts for each Python: docs/performance.md for 3.11,
docs/performance-3.13.md for 3.13. Each names the others that there are.

Results are plain data, as they stand in results.json:

    python    "3.11"
    machine   [[what, text], ...]
    rounds    how many
    micro     {case: {library: [nanoseconds per operation (or as the case says), a round each]}}
    servers   {case: {library: [report of the load generator, a round each]}}
    scaling   {"connections" (microseconds) | "sleepers" (nanoseconds): {library: {number: figure}}}
"""

import re
from statistics import median

import chart
import micro
import servers
from rich.table import Table

#: The figures of the server tables: which, what it is called, what it is divided by, and how it is written.
FIGURES = (
    ("cpu_us", "processor time of the server per request, microseconds", 1, "{:,.1f}"),
    ("rate", "requests per second", 1, "{:,.0f}"),
    ("p99_us", "99th percentile of the time to an answer, milliseconds", 1000, "{:,.2f}"),
    ("p999_us", "99.9th percentile, milliseconds", 1000, "{:,.2f}"),
    ("resident_each", "resident bytes per idle connection", 1, "{:,.0f}"),
)

#: Cases of the chart of processor time.
DRAWN = ("echo-100", "echo-1000", "tls-100", "udp-100", "accept", "idle-10000", "http-client", "proxy-100")

HEAD = """# Performance

Made by `make bench` (see `benchmarks/`); nothing here is written by hand. Each benchmark runs in one library after the other,
round by round, so that all see the same noise, and the median of {rounds} rounds counts. Times are those of one machine:
what carries over to another is the ratios.

{machine}
{others}"""

#: The Python whose page needs no number in its name.
MAIN = "3.11"


def micro_rows(results):
    """(what, theirs, ours, ratio) for each micro case."""
    for case, figures in results["micro"].items():
        theirs, ours = (median(figures[library]) for library in micro.LIBRARIES)
        unit = micro.unit(case)
        yield micro.title(case), f"{theirs:,.0f} {unit}", f"{ours:,.0f} {unit}", theirs / ours


def server_rows(results, figure):
    """(what, {library: median}) for each server case that has this figure."""
    for case, reports in results["servers"].items():
        row = {
            library: median(report[figure] for report in rounds)
            for library, rounds in reports.items()
            if rounds and all(figure in report for report in rounds)
        }
        if figure in servers.CASES[case].figures and row:
            yield case, row


def tables(results):
    """The tables for the terminal."""
    if results["micro"]:
        table = Table(title=f"one operation, median of {results['rounds']} rounds")
        for column in ("", "gevent/greenlet", "verdigris", "faster"):
            table.add_column(column, justify="left" if not column else "right")
        for what, theirs, ours, ratio in micro_rows(results):
            table.add_row(what, theirs, ours, f"{ratio:.1f} x")
        yield table
    for figure, name, divisor, style in FIGURES:
        rows = list(server_rows(results, figure))
        if not rows:
            continue
        libraries = columns(rows)
        table = Table(title=name)
        table.add_column("")
        for library in libraries:
            table.add_column(library, justify="right")
        for case, row in rows:
            table.add_row(servers.CASES[case].title, *cells(row, libraries, divisor, style))
        yield table
        if figure in COMPARED:
            others = [library for library in libraries if library != OWN]
            table = Table("", *others, title=COMPARED[figure].strip())
            for case, row in ratio_rows(rows):
                table.add_row(servers.CASES[case].title, *cells(row, others, 1, RATIO))
            yield table
    for kind, (name, unit) in SCALING.items():
        if results["scaling"].get(kind):
            table = Table(title=name)
            table.add_column("")
            found = numbers(results["scaling"][kind])
            for number in found:
                table.add_column(f"{number:,}", justify="right")
            for library, points in results["scaling"][kind].items():
                table.add_row(library, *(f"{points[n]:,.1f} {unit}" if n in points else "-" for n in found))
            yield table


SCALING = {
    "connections": ("processor time per echo beside idle connections", "µs"),
    "sleepers": ("processor time per wake-up beside sleeping greenlets", "ns"),
}


def write(results, folder):
    """Writes the page and its charts into a folder, and has the pages of other Pythons name it; where it is."""
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"performance{'' if results['python'] == MAIN else '-' + results['python']}.md"
    machine = "\n".join(f"- {what}: {text}" for what, text in results["machine"])
    parts = [HEAD.format(rounds=results["rounds"], machine=machine, others=OTHERS + "\n")]
    if results["servers"]:
        parts.append(servers_text(results, page))
    if results["scaling"]:
        parts.append(scaling_text(results, page))
    if results["micro"]:
        parts.append(micro_text(results))
    page.write_text("\n".join(parts))
    link_pages(folder)
    return page


#: How the line begins that names the other pages.
OTHERS = "- other Pythons:"


def link_pages(folder):
    """Each page names the others."""
    pages = {version_of(page): page for page in folder.glob("performance*.md")}
    for own, page in pages.items():
        named = [f"[{version}]({pages[version].name})" for version in sorted(pages, key=len) if version != own]
        line = f"{OTHERS} {', '.join(named)}" if named else f"{OTHERS} none"
        page.write_text(re.sub(f"^{OTHERS}.*$", line, page.read_text(), count=1, flags=re.MULTILINE))


def version_of(page):
    return page.stem.partition("-")[2] or MAIN


def draw(page, name, svg):
    """Writes a chart beside its page; the file's name."""
    chart_file = page.with_name(f"{page.stem}-{name}.svg")
    chart_file.write_text(svg)
    return chart_file.name


def servers_text(results, page):
    parts = [
        "## Whole servers\n",
        "The same program for verdigris, gevent and eventlet; for asyncio and uvloop one written with callbacks (protocols), and for uvloop",
        "one with coroutines (streams), too. The bare epoll loop is a server in Rust that does nothing but what has to be done.",
        "The load is closed: each connection has one request under way.\n",
    ]
    drawn = [(servers.CASES[case].title, row) for case, row in server_rows(results, "cpu_us") if case in DRAWN]
    if drawn:
        svg = chart.bars("Processor time of the server per request (less is better)", "µs", drawn)
        parts.append(f"![Processor time of the server per request]({draw(page, 'servers', svg)})\n")
    for figure, name, divisor, style in FIGURES:
        rows = list(server_rows(results, figure))
        if not rows:
            continue
        libraries = columns(rows)
        parts.append(f"### {name[0].upper()}{name[1:]}\n")
        parts.append(f"| | {' | '.join(libraries)} |\n|---|{'---:|' * len(libraries)}")
        for case, row in rows:
            parts.append(f"| {servers.CASES[case].title} | {' | '.join(cells(row, libraries, divisor, style))} |")
        parts.append("")
        if figure in COMPARED:
            parts.append(COMPARED[figure])
            others = [library for library in libraries if library != OWN]
            parts.append(f"| | {' | '.join(others)} |\n|---|{'---:|' * len(others)}")
            for case, row in ratio_rows(rows):
                parts.append(f"| {servers.CASES[case].title} | {' | '.join(cells(row, others, 1, RATIO))} |")
            parts.append("")
    return "\n".join(parts)


OWN = "verdigris"
RATIO = "{:.2f} x"
#: The figures that are shown as ratios, too, and what is said above.
COMPARED = {
    "cpu_us": "The same as a ratio: processor time of verdigris, that of the other being 1 (less is better).\n",
    "rate": "The same as a ratio: requests of verdigris, those of the other being 1 (more is better).\n",
}


def ratio_rows(rows):
    """The same rows with what verdigris's figure is as a multiple of each other one."""
    for case, row in rows:
        if OWN in row:
            yield case, {library: row[OWN] / theirs for library, theirs in row.items() if library != OWN and theirs}


def scaling_text(results, page):
    parts = [
        "## What an event costs beside many that sleep\n",
        "The loop's cost must not grow with the number of connections or greenlets that do nothing.\n",
    ]
    for kind, (name, unit) in SCALING.items():
        series = results["scaling"].get(kind)
        if not series:
            continue
        axis = "idle connections" if kind == "connections" else "sleeping greenlets"
        svg = chart.lines(name[0].upper() + name[1:], unit, axis, series)
        parts.append(f"![{name}]({draw(page, kind, svg)})\n")
        found = numbers(series)
        parts.append(f"| {axis} | {' | '.join(series)} |\n|---:|{'---:|' * len(series)}")
        for number in found:
            row = [f"{points[number]:,.1f} {unit}" if number in points else "-" for points in series.values()]
            parts.append(f"| {number:,} | {' | '.join(row)} |")
        parts.append("")
    return "\n".join(parts)


MICRO = """## One operation

The time includes the Python loop around the operation, which is the same for both and never subtracted. What is imported finds its
bytecode written, as a package from the registry does; figures before November 2026 had ours compiled at each start where the
environment forbade to write it. Where the floors are is in benchmarks/README.md.
"""


def micro_text(results):
    parts = [MICRO, "| | gevent/greenlet | verdigris | faster |\n|---|---:|---:|---:|"]
    for what, theirs, ours, ratio in micro_rows(results):
        parts.append(f"| {what} | {theirs} | {ours} | {ratio:.1f} x |")
    return "\n".join([*parts, ""])


def columns(rows):
    return [library for library in servers.LIBRARIES if any(library in row for _, row in rows)]


def cells(row, libraries, divisor, style):
    return [style.format(row[library] / divisor) if library in row else "-" for library in libraries]


def numbers(series):
    return sorted({number for points in series.values() for number in points})
