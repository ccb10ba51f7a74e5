#!/usr/bin/env bash
# Redis (or Valkey), without persistence: it holds hints only.   redis.sh start | stop | kill | status | missing | fetch
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
source "$local_scripts/lifecycle.sh"

server=$(command -v redis-server || command -v valkey-server || true)
name=redis
title=${server:+$("$server" --version | sed 's/ server v=/ /; s/ sha=.*//')}
ports=$redis_port
port_variables=RASTRO_REDIS_PORT
deadline=15

missing() { [ -n "$server" ] || echo redis-server; }
fetch() { :; }
configure() { :; }

launch() {
  exec setsid "$server" --bind 127.0.0.1 --port "$redis_port" --save '' --appendonly no \
    --maxmemory 512mb --maxmemory-policy allkeys-lru
}

ready() (
  exec 3<>"/dev/tcp/127.0.0.1/$redis_port"
  printf 'PING\r\n' >&3
  read -r -t 3 answer <&3
  [ "$answer" = $'+PONG\r' ]
)

lifecycle "$@"
