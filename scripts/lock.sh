#!/bin/sh
# Writes all locks again from what pyproject.toml and the servers' .in files ask for.
#
# A version that is locked stays unless it no longer fits; arguments go to `uv pip compile`
# (`--upgrade` for the newest). The locks carry no index, path or command line, so they are the
# same whoever makes them.
set -eu
cd "$(dirname "$0")/.."
. scripts/registries.sh
registries_from_pip .venv/bin/python
# Hashes are those of the one default index; what a machine adds to it stays out of the locks.
unset UV_INDEX UV_INDEX_STRATEGY

# compile LOCK ARGUMENTS...
compile() {
    lock=$1
    shift
    .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
        --output-file "$lock" "$@" >/dev/null
    echo "lock: $lock"
}

compile requirements/workbook.txt --all-extras pyproject.toml "$@"
# The uv that installs all others is the uv of the workbook.
awk '/^[a-z]/ { mine = /^uv==/ } mine' requirements/workbook.txt >requirements/bootstrap.txt
echo 'lock: requirements/bootstrap.txt'
# What an image holds: neither sandbox nor development, and the versions of the lock above.
compile requirements/image.txt --constraint requirements/workbook.txt \
    --extra operator --extra dask --extra geo pyproject.toml requirements/image.in "$@"
# In the place of the workbook's own, whose dependencies it shares.
compile requirements/pypgstac-0.9.txt --no-deps requirements/pypgstac-0.9.in "$@"
compile requirements/release.txt requirements/release.in "$@"
for wanted in lib/dedl_sandbox/requirements/*.in; do
    compile "${wanted%.in}.txt" "$wanted" "$@"
done
