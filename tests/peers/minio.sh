#!/usr/bin/env bash
# A real S3 server on a free port: MinIO, built from its Go module; where that cannot be had, moto.
# Credentials: minioadmin / minioadmin (moto takes any).
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

binary=$peers/bin/minio

install_server() {
    [ -x "$binary" ] || [ -f "$peers/minio.absent" ] && return
    need go || apt_install go golang-go || true
    need go && GOBIN=$peers/bin go install github.com/minio/minio@latest >"$peers/run/minio-build.log" 2>&1 && return
    say "MinIO cannot be built here: moto stands in"
    touch "$peers/minio.absent"
}

start_server() {
    local port; port=$(free_port)
    if [ -x "$binary" ]; then
        local data; data=$(mktemp -d "$peers/minio-data.XXXXXX")
        MINIO_BROWSER=off launch minio "http://127.0.0.1:$port" "$binary" server --quiet --address "127.0.0.1:$port" "$data"
    else
        local env; env=$(venv moto 'moto[server]==5.2.1')
        launch minio "http://127.0.0.1:$port" "$env/bin/moto_server" -H 127.0.0.1 -p "$port"
    fi
}

main minio "${1:-start}"
