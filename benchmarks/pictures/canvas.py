"""A picture of plots, of fixed size and font, in colours that colour-blind readers can tell apart.

matplotlib is an extra (`pip install 'fss-bench[plots]'`), imported when a picture is begun.
"""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from benchmarks.errors import BenchError
from benchmarks.pictures.lettering import spelled, wide_font

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 120
# Okabe and Ito's palette without its yellow, which is too light for lines.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
MARKERS = "osD^v<>"
_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.unicode_minus": False,  # plots that are kept were drawn with the hyphen
    "grid.color": "#dddddd",
}


class Canvas:
    """Axes in the common style; it touches no global state beyond its `with`.

    Args:
        width: in inches.
        height: in inches.
        panels: names of the axes as they lie, rows of columns; one repeated spans its cells.

    Raises:
        BenchError: if matplotlib is not installed.
    """

    def __init__(
        self, width: float, height: float, panels: Sequence[Sequence[str]] = (("plot",),)
    ) -> None:
        try:
            import matplotlib
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
        except ImportError:
            raise BenchError(
                "plots need matplotlib; install it with: pip install 'fss-bench[plots]'"
            ) from None
        self._context = matplotlib.rc_context(_STYLE | _families())
        self._context.__enter__()
        self._figure: Any = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(self._figure)
        self.panels: dict[str, Axes] = self._figure.subplot_mosaic([list(row) for row in panels])
        self.axes = self.panels[panels[0][0]]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)

    def title(self, text: str) -> None:
        """Write a line above all panels."""
        self._figure.suptitle(text, fontweight="bold")

    def png(self) -> bytes:
        """The picture; equal plots give equal bytes."""
        self._spell()
        buffer = io.BytesIO()
        self._figure.savefig(buffer, format="png", metadata={"Software": None})
        return buffer.getvalue()

    def _spell(self) -> None:
        """Write every text with letters that the fonts have."""
        from matplotlib.text import Text

        for axes in self._figure.axes:
            for axis in (axes.xaxis, axes.yaxis):
                labels = [label.get_text() for label in axis.get_ticklabels()]
                if labels != (drawn := list(map(spelled, labels))):
                    axis.set_ticks(axis.get_ticklocs(), drawn)
        for text in self._figure.findobj(Text):
            text.set_text(spelled(text.get_text()))


def _families() -> dict[str, Any]:
    """The usual font, and behind it one with more letters where there is one."""
    path = wide_font()
    if path is None:
        return {}
    from matplotlib.font_manager import FontProperties, fontManager

    fontManager.addfont(path)
    return {"font.family": [_STYLE["font.family"], FontProperties(fname=path).get_name()]}
