"""Drawing an SVG: shapes and words, each value escaped. One unit is a point of a page."""

from collections.abc import Sequence
from html import escape
from typing import Final, TypeAlias

XY: TypeAlias = tuple[float, float]

PAPER: Final = "#FFFFFF"
RIM_WIDTH: Final = 2.2
LETTER_WIDTH: Final = 0.5
"""Of a condensed letter, by the size of the font."""


class Drawing:
    """An SVG that is being drawn, back to front."""

    def __init__(self, width: float, height: float, *, font: str, font_size: float = 6.5) -> None:
        self._size = (width, height)
        self._font = font
        self._font_size = font_size
        self._parts: list[str] = []

    def add(self, name: str, text: str | None = None, /, **attributes: object) -> None:
        """Add an element; ``stroke_width`` is written ``stroke-width``."""
        shown = " ".join(
            f'{key.replace("_", "-")}="{_plain(value)}"' for key, value in attributes.items()
        )
        inside = "/>" if text is None else f">{escape(text)}</{name}>"
        self._parts.append(f"<{name} {shown}{inside}")

    def line(self, points: Sequence[XY], colour: str, width: float, **more: object) -> None:
        """Add a line; of fewer than two points there is none."""
        if len(points) > 1:
            path = "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in points)
            ends = {"stroke_linejoin": "round", "stroke_linecap": "round"}
            look = {"fill": "none", "stroke": colour, "stroke_width": width, **ends, **more}
            self.add("path", d=path, **look)

    def text(
        self, at: XY, text: str, colour: str, *, on_lines: bool = False, **more: object
    ) -> None:
        """Write something. What lies ``on_lines`` gets paper under it, to be read all the same."""
        x, y = at
        look = {"font_size": self._font_size, "text_anchor": "middle", "fill": colour, **more}
        if on_lines and len(text) == 1:
            look |= {"stroke": PAPER, "stroke_width": RIM_WIDTH, "paint_order": "stroke"}
        elif on_lines:  # a rim of each letter would lie on the one before it
            size = float(str(look["font_size"]))
            width = len(text) * size * LETTER_WIDTH + 2.0
            left = x - 1.0 if look["text_anchor"] == "start" else x - width / 2
            plate = {"y": y - size * 0.82, "height": size * 1.05, "fill": PAPER}
            self.add("rect", x=left, width=width, **plate, fill_opacity=0.85, rx=1.0)
        self.add("text", text, **{"x": x, "y": y, **look})

    def svg(self) -> str:
        width, height = self._size
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
            f' viewBox="0 0 {width} {height}" font-family="{self._font}"'
            f' font-stretch="condensed">{"".join(self._parts)}</svg>'
        )


def _plain(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else escape(str(value))
