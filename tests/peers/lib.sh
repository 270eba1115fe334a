# Shared by the scripts beside it: where things are installed, how a server is started and stopped.
# Sourced, never run. Everything lives under ${TAILRACE_PEERS:-target/peers} of the project.
set -euo pipefail

peers_src=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(cd "$peers_src/../.." && pwd)
peers=${TAILRACE_PEERS:-$project/target/peers}
mkdir -p "$peers/run"
peers=$(cd "$peers" && pwd)

say() { printf '%s\n' "$*" >&2; }

die() { say "$*"; exit 1; }

need() { command -v "$1" >/dev/null 2>&1; }

# apt_install COMMAND PACKAGE: makes sure that COMMAND exists.
apt_install() {
    need "$1" && return
    need apt-get || die "$1 is missing: install $2"
    say "installing $2"
    local sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq >&2
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >&2
}

# venv NAME PACKAGE…: a Python environment with exactly these packages; prints its folder.
venv() {
    local dir=$peers/venv-$1; shift
    local wanted="$*"
    if [ ! -f "$dir/.ready" ] || [ "$(cat "$dir/.ready")" != "$wanted" ]; then
        apt_install python3 python3
        rm -rf "$dir"
        # Debian keeps the venv module in a package of its own.
        python3 -m venv "$dir" >&2 || { rm -rf "$dir"; apt_install python3-venv-is-missing python3-venv || true; python3 -m venv "$dir" >&2; }
        "$dir/bin/pip" install -q --disable-pip-version-check "$@" >&2
        printf '%s' "$wanted" >"$dir/.ready"
    fi
    printf '%s\n' "$dir"
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# answers URL: whether anything speaks HTTP there.
answers() {
    python3 - "$1" <<'PY'
import sys, urllib.request, urllib.error
try:
    urllib.request.urlopen(sys.argv[1], timeout=2)
except urllib.error.HTTPError:
    pass
except Exception:
    sys.exit(1)
PY
}

# launch NAME URL COMMAND…: starts a server in the background, waits until it answers, prints the URL.
launch() {
    local name=$1 url=$2; shift 2
    "$@" >"$peers/run/$name.log" 2>&1 </dev/null &
    local pid=$!
    disown "$pid"
    printf '%s\n' "$pid" >"$peers/run/$name.pid"
    printf '%s\n' "$url" >"$peers/run/$name.url"
    for _ in $(seq 240); do
        if answers "$url"; then printf '%s\n' "$url"; return; fi
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.5
    done
    tail -n 20 "$peers/run/$name.log" >&2 || true
    stop "$name"
    die "$name did not start"
}

# running NAME: prints the URL of a server started earlier from here, if it still answers.
running() {
    [ -f "$peers/run/$1.url" ] && kill -0 "$(cat "$peers/run/$1.pid")" 2>/dev/null || return 1
    answers "$(cat "$peers/run/$1.url")" && cat "$peers/run/$1.url"
}

# stop NAME: ends the server started earlier from here, by its process id.
stop() {
    [ -f "$peers/run/$1.pid" ] || return 0
    local pid; pid=$(cat "$peers/run/$1.pid")
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 20); do kill -0 "$pid" 2>/dev/null || break; sleep 0.25; done
    kill -9 "$pid" 2>/dev/null || true
    rm -f "$peers/run/$1.pid" "$peers/run/$1.url"
}

# main NAME ACTION: `install`, `start` (prints the URL), `stop`.
main() {
    case ${2:-start} in
        install) install_server ;;
        start) running "$1" || { install_server && start_server; } ;;
        stop) stop "$1" ;;
        *) die "usage: $1.sh [install|start|stop]" ;;
    esac
}
