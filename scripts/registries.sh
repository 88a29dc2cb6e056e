# Sourced by setup.sh and lock.sh: lets uv fetch from where pip fetches on this machine.
#
# uv reads neither pip's configuration nor its variables, so behind a mirror or a private
# certificate authority pip would work and uv would not. uv's own variables go first.
# shellcheck shell=sh

# registries_from_pip PYTHON: sets uv's variables from the configuration of PYTHON's pip.
registries_from_pip() {
    pip_settings=$("$1" -m pip config list 2>/dev/null || true)

    ca=${SSL_CERT_FILE:-$(pip_setting cert)}
    if [ -n "$ca" ]; then
        export SSL_CERT_FILE="$ca" PIP_CERT="${PIP_CERT:-$ca}"
    fi
    # Slow mirrors are given as long as pip gives them; uv alone stops after 30 s of silence.
    timeout=$(pip_setting timeout)
    timeout=${timeout:-$(pip_setting default-timeout)}
    export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-${timeout:-120}}"

    if [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}${UV_INDEX:-}${UV_EXTRA_INDEX_URL:-}" ]; then
        index=$(pip_setting index-url)
        [ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
        extra=$(pip_setting extra-index-url)
        # As pip does it: whichever index has the locked file. The hash says that it is the one.
        [ -z "$extra" ] || export UV_INDEX="$extra" UV_INDEX_STRATEGY=unsafe-best-match
    fi
}

# pip_setting NAME: as `pip config list` quotes it, environment first; several values on one line.
pip_setting() {
    printf '%s\n' "$pip_settings" | sed -n "s/^[^=]*\.$1='\(.*\)'\$/\1/p" | head -n 1 |
        sed 's/\\n/ /g; s/^ *//; s/ *$//'
}
