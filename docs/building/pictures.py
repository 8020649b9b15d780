"""The data-flow picture of the concepts page, once for light and once for dark pages.

python docs/building/pictures.py      writes docs/assets/data-flow-light.svg and data-flow-dark.svg
"""

from pathlib import Path

ASSETS = Path(__file__).parents[1] / "assets"
COLOURS = {
    "light": {
        "text": "#1f2430",
        "soft": "#5b6270",
        "line": "#7a8190",
        "core": "#e8eaf6",
        "edge": "#3f51b5",
        "plug": "#fff3e0",
        "plugedge": "#e08a00",
    },
    "dark": {
        "text": "#e8eaf0",
        "soft": "#aab0bf",
        "line": "#8c93a3",
        "core": "#2a3050",
        "edge": "#8c9eff",
        "plug": "#3f3220",
        "plugedge": "#ffb74d",
    },
}
W, H = 168, 62
BOXES = {
    "sampler": (20, 70, "Sampler", "chooses problems", True),
    "env": (270, 70, "Environment", "prompt, episodes", True),
    "engine": (520, 70, "Engine", "samples tokens", True),
    "verifier": (770, 70, "Verifier", "judges completions", True),
    "groups": (770, 270, "Shapers", "change rewards", True),
    "algo": (520, 270, "Algorithm", "advantages, loss", True),
    "policy": (270, 270, "Policy", "optimizer, weights", False),
    "board": (770, 400, "Scores", "statistics, boards", False),
}
ARROWS = [
    (188, 101, 266, 101, "index", 227, 92, "middle"),
    (438, 101, 516, 101, "requests", 477, 92, "middle"),
    (688, 101, 766, 101, "segments", 727, 92, "middle"),
    (854, 132, 854, 266, "verdict, reward", 844, 195, "end"),
    (770, 301, 692, 301, "groups", 731, 292, "middle"),
    (520, 301, 442, 301, "gradient", 481, 292, "middle"),
]


def picture(colours: dict[str, str]) -> str:
    """Return the SVG."""
    c = colours
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 990 480" role="img" font-family="system-ui, sans-serif">',
        "<title>Data flow: sampler, environment, engine, verifier, shapers, algorithm, policy, and back</title>",
        f'<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        f'<path d="M0 0L8 4L0 8z" fill="{c["line"]}"/></marker></defs>',
    ]
    stroke = f'stroke="{c["line"]}" stroke-width="1.6" fill="none" marker-end="url(#a)"'
    for x1, y1, x2, y2, label, x, y, anchor in ARROWS:
        parts.append(f'<path d="M{x1} {y1}L{x2} {y2}" {stroke}/>')
        parts.append(_text(x, y, label, 13, c["soft"], anchor))
    # weights go up to the engine, verdicts back to the sampler, results to the board
    parts.append(f'<path d="M400 270L400 215L560 215L560 136" {stroke}/>')
    parts.append(_text(480, 207, "new weights", 13, c["soft"]))
    parts.append(f'<path d="M820 70L820 34L104 34L104 66" {stroke}/>')
    parts.append(_text(462, 26, "verdicts of each problem", 13, c["soft"]))
    parts.append(f'<path d="M938 101L972 101L972 431L942 431" {stroke}/>')
    for x, y, title, under, plugin in BOXES.values():
        fill, edge = (c["plug"], c["plugedge"]) if plugin else (c["core"], c["edge"])
        parts.append(
            f'<rect x="{x}" y="{y}" width="{W}" height="{H}" rx="9" fill="{fill}" stroke="{edge}" stroke-width="1.6"/>'
        )
        parts.append(_text(x + W / 2, y + 26, title, 17, c["text"], weight="600"))
        parts.append(_text(x + W / 2, y + 47, under, 13, c["soft"]))
    parts.append(f'<rect x="20" y="376" width="22" height="14" rx="3" fill="{c["plug"]}" stroke="{c["plugedge"]}"/>')
    parts.append(_text(50, 388, "a plugin: named in the configuration, yours or ours", 13, c["soft"], "start"))
    parts.append(f'<rect x="20" y="402" width="22" height="14" rx="3" fill="{c["core"]}" stroke="{c["edge"]}"/>')
    parts.append(_text(50, 414, "part of kgym", 13, c["soft"], "start"))
    parts.append(
        _text(
            20, 446, "kgym train goes round; kgym eval takes the upper row and ends in scores.", 13, c["soft"], "start"
        )
    )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _text(  # noqa: PLR0917
    x: float,
    y: float,
    text: str,
    size: int,
    colour: str,
    anchor: str = "middle",
    *,
    weight: str = "400",
) -> str:
    return (
        f'<text x="{x:g}" y="{y}" font-size="{size}" font-weight="{weight}" '
        f'fill="{colour}" text-anchor="{anchor}">{text}</text>'
    )


if __name__ == "__main__":
    for name, colours in COLOURS.items():
        (ASSETS / f"data-flow-{name}.svg").write_text(picture(colours))
