"""Explore: a dataset seen in a minute, before it is judged. It changes nothing, and judges nothing.

What needs packages beyond the workbook's (`pip install 'dedl-workbook[geo]'`) says so in a line
where they are absent; all else is shown.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from dedl_workbook.base.errors import InputError, WorkbookError
from dedl_workbook.base.progress import for_notebook
from dedl_workbook.base.text import amount, number, printable
from dedl_workbook.dataset.dataset import Dataset, open_dataset
from dedl_workbook.notebooks.attempt import show_errors_plainly
from dedl_workbook.notebooks.explore import live_map, preview, tables
from dedl_workbook.notebooks.explore.sample import Glance, Sample, ending, item_files, read_sample
from dedl_workbook.notebooks.explore.tables import INSTALL
from dedl_workbook.parameters.target import Target
from dedl_workbook.parameters.yaml_files import workbook_root
from dedl_workbook.rules.delivered import Asset
from dedl_workbook.views import maps, pictures
from dedl_workbook.views import tables as views
from dedl_workbook.views.pictures import Picture
from dedl_workbook.views.tables import View

if TYPE_CHECKING:
    import geopandas
    import pyarrow

SAMPLE = 2000
"""Items that are read, at most."""
_GLANCED = 500
"""Items that are read for the picture in a step's notebook, at most."""
_THUMBNAILS = 8
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def look(location: str | Dataset, *, target: str = "", sample: int = SAMPLE) -> Sample:
    """List a dataset, and read its collection and a random sample of its items.

    Args:
        location: a folder, s3://bucket/prefix, or a dataset.
        target: the target whose store an s3:// address is in; default: what boto3 finds.
        sample: how many items are read, at most.

    Raises:
        InputError: there is no dataset or no such target, or the sample is no positive number.
        ServiceError: the bucket refuses or doesn't answer.
    """
    show_errors_plainly()
    if type(sample) is not int or sample < 1:
        raise InputError(f"sample must be a number of items from 1 on, found {sample!r}")
    return read_sample(_dataset(location, target), sample, for_notebook())


def arrow(location: str | Dataset, *, target: str = "", most: int | None = None) -> pyarrow.Table:
    """Return a dataset's items as an Arrow table in the form of STAC GeoParquet, a row an item.

    Args:
        location: a folder, s3://bucket/prefix, or a dataset.
        target: as in `look`.
        most: how many items, at most; default: all that can be read.

    Raises:
        InputError: no item can be read, items disagree about types, or packages are missing.
        ServiceError: the bucket refuses or doesn't answer.
    """
    dataset = _dataset(location, target)
    return tables.arrow(dataset, islice(item_files(dataset), most))


def frame(
    location: str | Dataset, *, target: str = "", most: int | None = None
) -> geopandas.GeoDataFrame:
    """Return a dataset's items as a GeoDataFrame; arguments and errors are those of `arrow`."""
    return tables.frame(arrow(location, target=target, most=most))


def _dataset(location: str | Dataset, target: str) -> Dataset:
    if not isinstance(location, str):
        return location
    try:
        root = workbook_root()
    except InputError:
        root = None
    if not target:
        return open_dataset(location, root=root)
    to = Target.load(target, root)
    return open_dataset(location, root=root, settings=to.proposals or to.s3)


def overview(sample: Sample) -> View:
    """Show what the dataset is, how large, and how much of it was looked at."""
    collection = sample.collection or {}
    rows = {
        "dataset": sample.dataset.location,
        "collection": collection.get("id") or "metadata/collection.json can't be read",
        "title": collection.get("title"),
        "license": collection.get("license"),
        "STAC version": collection.get("stac_version"),
        "items": sample.items,
        "data files": sample.files,
        "size": amount(sample.size),
        "looked at": sampled(sample),
    }
    markup = views.pairs(rows)
    if sample.unread:
        what = f"{number(len(sample.unread), 'items')} of them can't be read"
        rows["not read"] = what
        markup += views.details(what, views.table(("file", "why"), sample.unread))
    lines = (printable(f"{key}: {value}") for key, value in rows.items())
    return View(markup, "\n".join(lines))


def sampled(sample: Sample) -> str:
    """Return how many of how many items were looked at."""
    read = len(sample.glances) + len(sample.unread)
    if read == sample.items:
        return f"all {sample.items:,} items" if sample.items else "no items: there are none"
    return f"{read:,} of {sample.items:,} items, picked at random"


def _what(sample: Sample) -> str:
    return "items" if len(sample.glances) + len(sample.unread) == sample.items else "sampled items"


@dataclass(frozen=True)
class Mapped(View):
    """What is kept, and below it a map to move about in while somebody looks on."""

    sample: Sequence[Glance]

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display({"text/html": self.markup, "text/plain": self.text}, raw=True)
        live_map.show(self.sample)


def footprints(sample: Sample) -> Mapped:
    """Show where the sampled items are."""
    picture = maps.footprints((glance.shape for glance in sample.glances), _what(sample))
    return Mapped(picture.svg, picture.text, sample.glances)


def timeline(sample: Sample) -> Picture:
    """Show when the sampled items begin."""
    return pictures.timeline((g.span[0] for g in sample.glances if g.span), _what(sample))


def where_and_when(dataset: Dataset) -> View:
    """Show footprints and timeline of a dataset in the notebook of a step.

    What can't be shown is said in a line: a picture must not stand in the way of a verdict.
    """
    try:
        sample = look(dataset, sample=_GLANCED)
    except (WorkbookError, OSError) as error:
        return _line(f"Where and when can't be shown: {error}")
    where, when = footprints(sample), timeline(sample)
    head = f"Of {sampled(sample)}:"
    markup = f"<p>{html.escape(head)}</p>{where.markup}{when.svg}"
    return Mapped(markup, "\n".join([head, where.text, when.text]), sample.glances)


def formats(sample: Sample) -> View:
    """Show all data files by the ending of their names."""
    rows = [
        (
            name or "none",
            f"{form.count:,}",
            amount(form.size),
            amount(form.smallest),
            amount(form.largest),
            "\n".join(sorted(form.types)),
        )
        for name, form in sorted(sample.formats.items(), key=lambda pair: -pair[1].size)
    ]
    columns = ("ending", "files", "size", "smallest", "largest", "media types in the items")
    return View(views.table(columns, rows), "\n".join("  ".join(row[:5]) for row in rows))


def sizes(sample: Sample) -> Picture:
    """Show how large all data files are."""
    if not sample.sizes:
        return pictures.framed("No sizes: there are no data files.", "", 0, 0)
    digits = range(min(sample.sizes), max(sample.sizes) + 1)
    text = f"Sizes of {number(sample.files, 'data files')}: each bar begins at its label."
    return pictures.bars(text, [sample.sizes.get(n, 0) for n in digits], [*map(_power, digits)])


def _power(digits: int) -> str:
    if not digits:
        return "0 B"
    unit, power = divmod(digits - 1, 10)
    return f"{2**power} {_UNITS[min(unit, len(_UNITS) - 1)]}"


def thumbnails(sample: Sample) -> View:
    """Show thumbnails of some sampled items, evenly spread."""
    pictures = [
        (glance, asset) for glance in sample.glances if (asset := _picture_of(glance)) is not None
    ]
    if not pictures:
        return _line("No thumbnails: no sampled item has a PNG or JPEG.")
    shown = pictures[:: max(1, -(-len(pictures) // _THUMBNAILS))]
    try:
        figures = [_figure(sample.dataset, glance, asset) for glance, asset in shown]
    except ImportError as error:
        return _absent("Thumbnails", error)
    text = f"{len(figures)} of {len(pictures):,} thumbnails of the sample"
    style = "display:flex;flex-wrap:wrap;gap:12px"
    return View(f'<div style="{style}">{"".join(figures)}</div><p>{text}</p>', text)


def _picture_of(glance: Glance) -> Asset | None:
    """Return the asset that shows an item best: a thumbnail, an overview, any PNG or JPEG."""
    pictures = [
        asset
        for asset in glance.assets
        if asset.path and ending(asset.path) in (".png", ".jpg", ".jpeg")
    ]
    for role in ("thumbnail", "overview"):
        for asset in pictures:
            if role in _roles(asset) or asset.key == role:
                return asset
    return pictures[0] if pictures else None


def _roles(asset: Asset) -> list[object]:
    roles = asset.value.get("roles")
    return roles if isinstance(roles, list) else []


def _figure(dataset: Dataset, glance: Glance, asset: Asset) -> str:
    name = html.escape(printable(glance.id))
    path = asset.path or ""
    try:
        shown = preview.thumbnail(dataset, path, f"Thumbnail of {printable(glance.id)}")
    except (OSError, ValueError) as error:
        shown = f"<p>{html.escape(printable(f'{path} cannot be shown: {error}'))}</p>"
    style = "margin:0;max-width:220px;overflow-wrap:anywhere;font-size:80%"
    return f'<figure style="{style}">{shown}<figcaption>{name}</figcaption></figure>'


def data_file(sample: Sample, path: str = "") -> View:
    """Show one data file opened: what it says of itself, and its first band as a picture.

    Args:
        sample: what `look` returned.
        path: the file, relative to the dataset; default: the first one that can be opened.

    Raises:
        InputError: the file that was named can't be opened.
    """
    chosen = path or next(_openable(sample), "")
    if not chosen:
        return _line("No data file of a kind that is opened here: GeoTIFF, NetCDF, HDF5, GRIB.")
    try:
        facts, parts = preview.read(sample.dataset, chosen)
    except ImportError as error:
        return _absent("A data file", error)
    except InputError as error:
        if path:
            raise
        return _line(str(error))
    name = printable(chosen)
    markup = f"<p><code>{html.escape(name)}</code></p>" + views.pairs(facts)
    text = [name]
    for part in parts:
        variable = printable(part.facts.get("variable", "band 1"))
        text.append(f"{variable}: {part.values or 'not shown'}")
        markup += f"<h4>{html.escape(variable)}</h4>"
        if part.values:
            alt = f"The first band of {variable} in {name}, {part.values}"
            markup += part.markup(alt) + f"<p>Values: {html.escape(part.values)}</p>"
        markup += views.pairs(part.facts)
    return View(markup, "\n".join(text))


def _openable(sample: Sample) -> Iterator[str]:
    """Yield data files that can be opened, those with the role data first."""
    files = [
        (asset.path, "data" in _roles(asset))
        for glance in sample.glances
        for asset in glance.assets
        if asset.path and ending(asset.path) in preview.OPENED
    ]
    yield from (path for path, _ in sorted(files, key=lambda pair: not pair[1]))


def table(sample: Sample) -> View:
    """Show the columns of the sampled items' table, as `arrow` gives it, and the first row."""
    try:
        items = tables.arrow(sample.dataset, (glance.file for glance in sample.glances))
    except InputError as error:
        return _line(str(error))
    rows = [
        (
            field.name,
            str(field.type)[:80],
            "(WKB)" if field.name == "geometry" else _shown(items.column(field.name)[0]),
        )
        for field in items.schema
    ]
    text = f"{number(items.num_rows, 'rows')}, {items.num_columns} columns"
    columns = ("column", "type", "first item")
    return View(f"<p>{text}</p>" + views.table(columns, rows), text)


def _shown(cell: pyarrow.Scalar) -> str:
    try:
        return str(cell.as_py())[:120]
    except (OverflowError, ValueError):
        # Arrow holds times of years that Python has not.
        return "(out of range)"


def _absent(what: str, error: ImportError) -> View:
    return _line(f"{what} can't be shown: {error.name} is not installed. {INSTALL} installs it.")


def _line(text: str) -> View:
    text = printable(text, lines=True)
    return View(f"<p>{html.escape(text)}</p>", text)
