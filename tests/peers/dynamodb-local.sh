#!/usr/bin/env bash
# AWS's own DynamoDB Local on a free port, in memory.
# The jar ships inside an npm package; where npm is missing it comes from Maven Central.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

dir=$peers/dynamodb-local
simulator=amplify-dynamodb-simulator@2.9.30
maven_version=2.6.1

install_server() {
    [ -f "$dir/.ready" ] && return
    apt_install java default-jre-headless
    rm -rf "$dir"; mkdir -p "$dir"
    if need npm; then from_npm; else from_maven; fi
    touch "$dir/.ready"
}

from_npm() {
    (cd "$dir" && npm pack --silent "$simulator" >/dev/null && tar xzf ./*.tgz && rm -f ./*.tgz)
    local jar
    jar=$(find "$dir" -name DynamoDBLocal.jar | head -n 1)
    [ -n "$jar" ] || die "$simulator holds no DynamoDBLocal.jar"
    printf '%s\n' "$(dirname "$jar")" >"$dir/home"
}

from_maven() {
    apt_install mvn maven
    cat >"$dir/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>peers</groupId><artifactId>dynamodb-local</artifactId><version>1</version>
<dependencies><dependency><groupId>com.amazonaws</groupId><artifactId>DynamoDBLocal</artifactId>
<version>$maven_version</version></dependency></dependencies></project>
POM
    (cd "$dir" && mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib >&2)
    printf '%s\n' "$dir" >"$dir/home"
}

start_server() {
    local home port; home=$(cat "$dir/home"); port=$(free_port)
    cd "$home"
    if [ -f DynamoDBLocal.jar ]; then
        launch dynamodb-local "http://127.0.0.1:$port" \
            java -Djava.library.path=./DynamoDBLocal_lib -jar DynamoDBLocal.jar -inMemory -port "$port"
    else
        launch dynamodb-local "http://127.0.0.1:$port" \
            java -Djava.library.path=lib -cp 'lib/*' com.amazonaws.services.dynamodbv2.local.main.ServerRunner -inMemory -port "$port"
    fi
}

main dynamodb-local "${1:-start}"
