"""Items as a table: STAC GeoParquet's form in Arrow, or a GeoDataFrame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from dedl_workbook.base.errors import InputError
from dedl_workbook.dataset.dataset import Dataset, File
from dedl_workbook.rules.delivered import Item, read_item

if TYPE_CHECKING:
    import geopandas
    import pyarrow

INSTALL = "pip install 'dedl-workbook[geo]'"


def arrow(dataset: Dataset, files: Iterable[File]) -> pyarrow.Table:
    """Return items as an Arrow table in the form of STAC GeoParquet, a row an item.

    Raises:
        InputError: no item can be read, items disagree about types, or packages are missing.
    """
    try:
        import pyarrow
        from stac_geoparquet.arrow import parse_stac_items_to_arrow
    except ImportError as error:
        raise InputError(
            f"{error.name} is not installed", remedy=f"{INSTALL} installs it."
        ) from error
    documents = list(_documents(dataset, files))
    if not documents:
        raise InputError("holds no item that can be read", where=dataset.location)
    try:
        return parse_stac_items_to_arrow(documents).read_all()
    except (pyarrow.ArrowException, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"the items make no table: {str(error).splitlines()[0]}",
            where=dataset.location,
            remedy="`dedl-workbook validate` names the items that are not like the others.",
        ) from error


def frame(table: pyarrow.Table) -> geopandas.GeoDataFrame:
    """Return an Arrow table of items as a GeoDataFrame in longitude and latitude."""
    import geopandas

    return geopandas.GeoDataFrame.from_arrow(table)


def _documents(dataset: Dataset, files: Iterable[File]) -> Iterator[dict[str, Any]]:
    for file in files:
        item = read_item(dataset, file)
        if isinstance(item, Item):
            yield item.document
