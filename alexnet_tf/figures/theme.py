"""The colors of pictures, on white and on a dark page."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Theme:
    """Colors, as matplotlib and CSS take them.

    Attributes:
      background: Behind everything.
      ink: Text and axes.
      muted: What is to be seen second.
      faint: Grid lines.
      series: Told apart by people with any color vision (Okabe and Ito); the first is for what is
        right or usual, the second for what is wrong.
    """

    background: str
    ink: str
    muted: str
    faint: str
    series: tuple[str, ...]


LIGHT = Theme(
    "#ffffff",
    "#1b1f24",
    "#5b636e",
    "#d9dde3",
    ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6b6b00", "#000000"),
)
DARK = Theme(
    "#1d2127",
    "#e8eaed",
    "#a4acb7",
    "#3b424c",
    ("#56B4E9", "#F08A3C", "#2FC79A", "#E3A0C4", "#F0C94A", "#3D8FD1", "#B9B95B", "#ffffff"),
)
