#!/bin/sh
# Makes this checkout ready: system packages, .venv, the sandbox's servers, the STAC schemas.
#
# `make setup` and most other targets run it, so it returns at once when nothing is to do. What it
# fetches comes from the registries that apt and pip are set up for on this machine, and each
# Python package must match its hash in the locks. Running it again mends what was cut off.
set -eu
cd "$(dirname "$0")/.."
. scripts/registries.sh

python=${PYTHON:-python3}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() {
    printf 'setup: %s\n' "$1"
}

fail() {
    printf 'setup: %s\n' "$1" >&2
    exit 1
}

# quietly WHAT COMMAND...: says WHAT; shows the command's output only when it fails.
quietly() {
    what=$1
    shift
    say "$what"
    # A server that apt restarts must not inherit the locks and so keep them.
    "$@" >"$log" 2>&1 8>&- 9>&- || {
        tail -n 20 "$log" >&2
        fail "this failed: $what"
    }
}

is_root() {
    [ "$(id -u)" -eq 0 ]
}

# --- System packages ---

# The sandbox looks at the same places: the PATH (conda), then Debian's folders.
has_postgis() {
    for initdb in "$(command -v initdb || true)" /usr/lib/postgresql/*/bin/initdb; do
        config=${initdb%initdb}pg_config
        if [ -x "$initdb" ] && [ -x "$config" ] &&
            [ -e "$("$config" --sharedir)/extension/postgis.control" ]; then
            return 0
        fi
    done
    return 1
}

# Debian splits ensurepip off into python3-venv.
can_make_venv() {
    "$python" -c 'import ensurepip, venv' 2>/dev/null
}

# The PostGIS for a PostgreSQL that is installed, or else for the newest that apt offers.
postgis_package() {
    offered=$(apt-cache search --names-only '^postgresql-[0-9]+-postgis-3$' | cut -d ' ' -f 1 |
        sort -t - -k 2,2nr)
    for package in $offered; do
        major=${package#postgresql-}
        if [ -x "/usr/lib/postgresql/${major%-postgis-3}/bin/initdb" ]; then
            echo "$package"
            return
        fi
    done
    # Without package lists nothing is offered; this one depends on Debian's own PostgreSQL.
    printf '%s\n' "${offered:-postgresql-postgis}" | head -n 1
}

missing_packages() {
    [ -e .venv/.ready ] || can_make_venv || echo python3-venv
    has_postgis || postgis_package
    command -v ssh-keygen >/dev/null || echo openssh-client
    command -v setpriv >/dev/null || ! is_root || echo util-linux
    [ -x /usr/sbin/pgbouncer ] || ! command -v apt-get >/dev/null || ! is_root || echo pgbouncer
}

reason_for() {
    case $1 in
    python3-venv) echo 'Python environments' ;;
    postgresql-*) echo "the sandbox's database" ;;
    openssh-client) echo 'signing evidence' ;;
    pgbouncer) echo 'tests behind a connection pooler' ;;
    util-linux) echo 'starting PostgreSQL, which refuses to run as root' ;;
    esac
}

# apt_install PACKAGE: without questions; waits for another apt on this machine; starts no service.
apt_install() {
    quietly "apt-get install $1, for $(reason_for "$1")" \
        env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install --yes --no-install-recommends \
        -o DPkg::Lock::Timeout=600 "$1"
}

# Else Debian makes a cluster and starts it on port 5432, which nobody asked for. The file comes
# with postgresql-common, so that goes first: a file made here would replace Debian's defaults.
forbid_main_cluster() {
    conf=/etc/postgresql-common/createcluster.conf
    [ -e "$conf" ] || apt_install postgresql-common
    if ! grep -qs '^[[:space:]]*create_main_cluster' "$conf"; then
        echo 'create_main_cluster = false' >>"$conf"
        say "$conf: no PostgreSQL cluster is to be made on port 5432"
    fi
}

install_packages() {
    # Two copies that start on the same new machine take turns; apt itself would give up.
    exec 9>/run/dedl-workbook-apt.lock
    ! command -v flock >/dev/null || flock 9
    [ -n "$(missing_packages)" ] || return 0
    quietly 'apt-get update' apt-get update
    packages=$(missing_packages)
    for package in $packages; do
        case $package in postgresql-*) forbid_main_cluster ;; esac
        apt_install "$package"
    done
}

system_packages() {
    missing=$(missing_packages | tr '\n' ' ')
    missing=${missing% }
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null ||
        fail "missing: $missing; type: conda env create -f environment.yml && conda activate dedl-workbook"
    is_root || fail "missing system packages; type: sudo apt-get install $missing"
    install_packages
    exec 9>&-
}

check_python() {
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
        fail "$python is missing or older than 3.11; type: make setup PYTHON=/path/to/python3.11"
}

# One that is there and too old is refused before anything is installed for it.
check_python_if_any() {
    ! command -v "$python" >/dev/null || check_python
}

# --- The Python environment ---

# What .venv was made for and from. Its commands hold the path, so a moved checkout needs a new one.
fingerprint() {
    pwd -P
    sha256sum pyproject.toml scripts/*.sh requirements/*.txt \
        lib/dedl_sandbox/requirements/*.txt lib/dedl_workbook/rules/schemas/schemas.lock.json
}

is_ready() {
    [ "$(cat .venv/.ready 2>/dev/null)" = "$(fingerprint)" ] &&
        .venv/bin/python -c 'import dedl_workbook, dedl_sandbox' 2>/dev/null && [ -z "$(missing_packages)" ]
}

discard_broken_venv() {
    if [ ! -e .venv ]; then
        return 0
    elif [ -e .venv/.unfinished ]; then
        say 'removing .venv: an earlier set-up was cut off'
    elif ! .venv/bin/python -m pip --version >"$log" 2>&1; then
        say 'removing .venv: it has no Python and pip that run'
    elif [ -e .venv/.ready ] && [ "$(head -n 1 .venv/.ready)" != "$(pwd -P)" ]; then
        say 'removing .venv: it was made in another folder'
    else
        return 0
    fi
    rm -rf .venv
}

python_environment() {
    discard_broken_venv
    mkdir -p .venv
    touch .venv/.unfinished
    rm -f .venv/.ready
    [ -x .venv/bin/python ] ||
        quietly "making .venv with $("$python" --version)" "$python" -m venv .venv
    registries_from_pip .venv/bin/python
    quietly 'installing uv' \
        .venv/bin/python -m pip install --require-hashes -r requirements/bootstrap.txt
    quietly "installing $(grep -c '^[a-z]' requirements/workbook.txt) locked Python packages into .venv" \
        .venv/bin/uv pip sync --python .venv/bin/python --require-hashes requirements/workbook.txt
    quietly 'installing dedl-workbook itself, editable' \
        .venv/bin/uv pip install --python .venv/bin/python --no-deps --no-build-isolation --editable .
    rm .venv/.unfinished
}

# --- All of it ---

# One set-up at a time in a checkout.
exec 8<scripts/setup.sh
if command -v flock >/dev/null && ! flock --nonblock 8; then
    say 'waiting for another set-up of this checkout'
    flock 8
fi

if is_ready; then
    exit 0
fi
check_python_if_any
system_packages
check_python
python_environment
quietly "making the environments of the sandbox's servers" \
    .venv/bin/python -c 'from dedl_sandbox.environments import ensure_environments
ensure_environments()'
mkdir -p .venv/share/dedl-workbook/schemas
quietly 'filling the schema store' .venv/bin/dedl-workbook schemas sync --from-packages
fingerprint >.venv/.ready.new
mv .venv/.ready.new .venv/.ready
say 'ready'
