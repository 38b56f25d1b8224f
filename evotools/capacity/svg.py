"""A chart as an SVG file that needs nothing else: axes with units, a legend, and the figures of each point as tooltips.

SVG 1.1 with a style sheet inside, the viewer's fonts, no script.
"""

import html

from evotools.capacity.chart import CARRIED, FULL, HAS, NEEDED, Chart, Line, Panel

SIZES = {1: (760, 320), 2: (400, 240), 3: (320, 240)}
"""Width and height of a plot without its labels, in pixels, by the number of panels in a row."""
LEFT, RIGHT, TOP, BOTTOM = 88, 24, 44, 56
"""Room around a plot for its title and labels."""
HEAD = 104
"""Title, subtitle and legend above the panels."""
LEGEND_STEP = 130

# Told apart by the colour-blind: the palette of Okabe and Ito.
_COLORS = {
    NEEDED: "#0072b2", FULL: "#d55e00", HAS: "#444444", CARRIED: "#111111", "by CPU": "#0072b2", "by RAM": "#cc79a7",
    "by network": "#009e73", "by disk": "#e69f00", "hours": "#0072b2",
}  # fmt: skip
_DASHES = {FULL: "8 4", HAS: "2 3"}
_WIDTHS = {CARRIED: 4.0, HAS: 2.0}

_STYLE = """
text { font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", Arial, sans-serif; fill: #222; }
.title { font-size: 20px; font-weight: 600; } .sub { font-size: 13px; fill: #555; }
.panel { font-size: 14px; font-weight: 600; } .note { font-size: 12px; font-weight: 400; fill: #555; }
.tick, .legend { font-size: 12px; } .axis { font-size: 12px; fill: #555; }
.grid { stroke: #e4e4e4; stroke-width: 1; } .frame { stroke: #888; stroke-width: 1; }
.line { fill: none; stroke-linejoin: round; stroke-linecap: round; }
""".strip()


def svg(chart: Chart) -> str:
    """The whole file."""
    # Four stand two by two, any other number in one row.
    columns = {1: 1, 3: 3}.get(len(chart.panels), 2)
    plot = SIZES[columns]
    across, down = plot[0] + LEFT + RIGHT, plot[1] + TOP + BOTTOM
    rows = -(-len(chart.panels) // columns)
    width, height = across * columns + 16, HEAD + down * rows + 8
    out = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" version="1.1" width="{_n(width)}" height="{_n(height)}" '
        f'viewBox="0 0 {_n(width)} {_n(height)}" role="img">',
        f"<title>{escape(chart.title)}</title>",
        f"<desc>{escape(chart.subtitle)}</desc>",
        f"<style>{_STYLE}</style>",
        f'<rect width="{_n(width)}" height="{_n(height)}" fill="#fff"/>',
        f'<text class="title" x="24" y="36">{escape(chart.title)}</text>',
        f'<text class="sub" x="24" y="58">{escape(chart.subtitle)}</text>',
        *_legend(chart.names),
    ]
    for number, panel in enumerate(chart.panels):
        x = LEFT + across * (number % columns)
        y = HEAD + TOP + down * (number // columns)
        out.append(f'<g transform="translate({_n(x)} {_n(y)})">')
        out += _panel(chart, panel, *plot)
        out.append("</g>")
    out.append("</svg>")
    return "\n".join(out) + "\n"


def _legend(names: list[str]) -> list[str]:
    out = []
    for number, name in enumerate(names):
        x = 24 + number * LEGEND_STEP
        out.append(f'<line x1="{x}" y1="80" x2="{x + 34}" y2="80" {_stroke(name)}/>')
        out.append(f'<text class="legend" x="{x + 42}" y="84">{escape(name)}</text>')
    return out


def _panel(chart: Chart, panel: Panel, width: int, height: int) -> list[str]:
    note = f'  <tspan class="note">{escape(panel.note)}</tspan>' if panel.note else ""
    out = [f'<text class="panel" x="0" y="-14" xml:space="preserve">{escape(panel.title)}{note}</text>']
    for value, label in panel.y.ticks:
        y = _n(height * (1 - panel.y.at(value)))
        out.append(f'<line class="grid" x1="0" y1="{y}" x2="{_n(width)}" y2="{y}"/>')
        out.append(f'<text class="tick" x="-8" y="{y}" dy="4" text-anchor="end">{escape(label)}</text>')
    for value, label in chart.x.ticks:
        x = _n(width * chart.x.at(value))
        out.append(f'<line class="grid" x1="{x}" y1="0" x2="{x}" y2="{_n(height)}"/>')
        out.append(f'<text class="tick" x="{x}" y="{_n(height + 18)}" text-anchor="middle">{escape(label)}</text>')
    out.append(f'<path class="frame" fill="none" d="M0 0V{_n(height)}H{_n(width)}"/>')
    title = chart.x_title + (" (logarithmic)" if chart.x.logarithmic else "")
    out.append(
        f'<text class="axis" x="{_n(width / 2)}" y="{_n(height + 38)}" text-anchor="middle">{escape(title)}</text>'
    )
    # The answer is the widest: it goes underneath, so that the lines it follows stay visible.
    for line in sorted(panel.lines, key=lambda one: one.name != CARRIED):
        out += _line(chart, panel, line, width, height)
    return out


def _line(chart: Chart, panel: Panel, line: Line, width: int, height: int) -> list[str]:
    out: list[str] = []
    runs: list[list[tuple[float, float, str]]] = [[]]
    for point, value, told in zip(chart.points, line.values, line.told, strict=True):
        if value is None or value > panel.y.high * 1.0001:
            runs.append([])
            continue
        runs[-1].append((width * chart.x.at(point), height * (1 - panel.y.at(value)), told))
    for run in runs:
        if len(run) > 1:
            path = " ".join(f"{_n(x)},{_n(y)}" for x, y, _ in run)
            out.append(f'<polyline class="line" points="{path}" {_stroke(line.name)}/>')
        if line.name != HAS:
            fill = _color(line.name)
            for x, y, told in run:
                out.append(
                    f'<circle cx="{_n(x)}" cy="{_n(y)}" r="3" fill="{fill}"><title>{escape(told)}</title></circle>'
                )
    return out


def escape(text: str) -> str:
    """For XML 1.0, which knows neither control characters nor halves of surrogate pairs."""
    return html.escape("".join(c if c.isprintable() else "?" for c in text))


def _stroke(name: str) -> str:
    dashes = f' stroke-dasharray="{_DASHES[name]}"' if name in _DASHES else ""
    return f'stroke="{_color(name)}" stroke-width="{_n(_WIDTHS.get(name, 2.2))}"{dashes}'


def _color(name: str) -> str:
    return _COLORS.get(name, "#0072b2")


def _n(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
