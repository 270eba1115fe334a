#!/usr/bin/env bash
# MiniStack on a free port: DynamoDB with streams and S3 behind one endpoint.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

install_server() { env=$(venv ministack 'ministack==1.5.33'); }

start_server() {
    local port; port=$(free_port)
    GATEWAY_PORT=$port launch ministack "http://127.0.0.1:$port" "$env/bin/ministack"
}

main ministack "${1:-start}"
