"""Evidence: packs a case into a bag that a person reads and a machine checks, years later.

A bag (BagIt, RFC 8493) holds the ledger, every attempt, the ticket, the list of the published
files, what these are to each other (RO-Crate), and an index.html to read first. Its digest is
that of `tagmanifest-sha256.txt`, which covers, through the manifest, every byte of it; where the
target names a key, that file is signed.
"""

from __future__ import annotations

from dedl_workbook.evidence.bag import Bag, verify
from dedl_workbook.evidence.diff import diff
from dedl_workbook.evidence.packing import pack

__all__ = ["Bag", "diff", "pack", "verify"]
