"""Pictures of pixels: previews of rasters and thumbnails, as PNG inside the page."""

from __future__ import annotations

import base64
import html
import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_VIRIDIS = (
    *((68, 1, 84), (72, 40, 120), (62, 74, 137), (49, 104, 142), (38, 130, 142)),
    *((31, 158, 137), (53, 183, 121), (110, 206, 88), (181, 222, 43), (253, 231, 37)),
)
"""Ten steps of the colour map "viridis" (van der Walt, Smith; CC0), which all eyes can order."""
_MOST_PIXELS = 50 * 10**6
"""Pixels of a picture that is decoded for a thumbnail."""


@dataclass(frozen=True)
class Raster:
    """Values to show as colours."""

    values: np.ma.MaskedArray[Any, Any]
    low: float
    high: float
    """Colours reach from the 2nd to the 98th percentile, so that single pixels don't hide all."""
    least: float
    greatest: float
    empty: float
    """The share of pixels that hold no data, as seen in the picture."""

    @classmethod
    def of(cls, read: Any) -> Raster:
        """Make it of a masked array of two dimensions; what isn't finite counts as no data."""
        import numpy as np

        values: np.ma.MaskedArray[Any, Any] = np.ma.masked_invalid(
            np.ma.asarray(read, dtype="float64")
        )
        found = values.compressed()
        if not found.size:
            return cls(values, 0, 0, 0, 0, 1.0)
        low, high = np.percentile(found, [2, 98])
        empty = 1 - found.size / values.size
        return cls(values, low, high, found.min(), found.max(), empty)

    @property
    def text(self) -> str:
        """What can be said of the values."""
        if self.empty == 1:
            return "no data at all"
        text = f"{self.least:g} to {self.greatest:g}"
        return text + (f", {self.empty:.1%} without data" if self.empty else "")

    def markup(self, alt: str) -> str:
        """Return the picture with its scale of colours."""
        import numpy as np
        from PIL import Image

        steps = np.array(_VIRIDIS, "float64")
        spread = self.high - self.low or 1.0
        place = np.clip((self.values.filled(self.low) - self.low) / spread, 0, 1) * (len(steps) - 1)
        below = np.minimum(place.astype(int), len(steps) - 2)
        part = (place - below)[..., None]
        colours = steps[below] * (1 - part) + steps[below + 1] * part
        opaque = np.where(np.ma.getmaskarray(self.values), 0, 255)[..., None]
        image = Image.fromarray(np.concatenate([colours, opaque], -1).astype("uint8"), "RGBA")
        stops = ",".join(f"rgb{colour}" for colour in _VIRIDIS)
        scale = (
            f'<div style="display:flex;gap:6px;max-width:420px">{self.low:g}<span style="flex:1;'
            f'background:linear-gradient(90deg,{stops})"></span>{self.high:g}</div>'
        )
        return as_img(image, alt) + scale


def as_img(image: Any, alt: str) -> str:
    """Return a Pillow image as an element that needs no other file."""
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    data = base64.b64encode(out.getvalue()).decode()
    return (
        f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data}" '
        f'style="max-width:100%;image-rendering:auto">'
    )


def thumbnail(data: bytes, alt: str, side: int = 220) -> str:
    """Return a PNG or JPEG as a small picture.

    Raises:
        OSError: it is none, or a damaged one; or one so large that it may be a trap.
        ImportError: Pillow is not installed.
    """
    from PIL import Image

    try:
        with (
            warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning),
            Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image,
        ):
            if image.width * image.height > _MOST_PIXELS:
                raise OSError(f"has {image.width:,} x {image.height:,} pixels, too many for a look")
            image.draft("RGB", (2 * side, 2 * side))
            image.thumbnail((side, side))
            return as_img(image if image.mode in ("RGB", "RGBA") else image.convert("RGBA"), alt)
    except (Image.DecompressionBombError, SyntaxError, ValueError) as error:
        raise OSError(str(error)) from error
