#!/usr/bin/env bash
# Toxiproxy, which stands between programs and servers and disturbs what they say to each other. Only for tests that break the
# network: up.sh starts it when RASTRO_TOXIPROXY_PORT is set.   toxiproxy.sh start | stop | kill | status | missing | fetch
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
source "$local_scripts/lifecycle.sh"

# The newest one that the Go of Debian 12 builds.
version=2.7.0
name=toxiproxy
title="Toxiproxy $version"
ports=$toxiproxy_port
port_variables=RASTRO_TOXIPROXY_PORT
deadline=15
program=$cache_dir/toxiproxy-$version/toxiproxy

missing() { [ -x "$program" ] || command -v go >/dev/null || echo golang-go; }

fetch() {
  local part
  [ ! -x "$program" ] || return 0
  mkdir -p "$cache_dir"
  # Built beside its place and moved there whole: an interrupted build, or a second checkout's, is never half used.
  part=$(mktemp -d "$cache_dir/toxiproxy-$version.XXXXXX")
  echo "toxiproxy building $title" >&2
  if ! GOBIN=$part CGO_ENABLED=0 GOTOOLCHAIN=local \
    go install -trimpath -ldflags='-s -w' "github.com/Shopify/toxiproxy/v2/cmd/server@v$version" >&2; then
    rm -rf "$part"
    die "could not be built"
  fi
  mv "$part/server" "$part/toxiproxy"
  chmod 755 "$part"
  mv -T "$part" "$(dirname "$program")" 2>/dev/null || [ -x "$program" ] || die "$program could not be put in place"
  rm -rf "$part"
}

# RASTRO_TOXIPROXY_PROXIES: for each proxy a word NAME=LISTEN_PORT:UPSTREAM_PORT.
configure() {
  local proxy address comma=
  {
    echo '['
    for proxy in ${RASTRO_TOXIPROXY_PROXIES:-}; do
      address=${proxy#*=}
      printf '%s{"name":"%s","listen":"127.0.0.1:%s","upstream":"127.0.0.1:%s"}\n' \
        "$comma" "${proxy%%=*}" "${address%:*}" "${address#*:}"
      comma=,
    done
    echo ']'
  } >proxies.json
}

launch() { exec setsid "$program" -host 127.0.0.1 -port "$toxiproxy_port" -config proxies.json; }

ready() (
  exec 3<>"/dev/tcp/127.0.0.1/$toxiproxy_port"
  printf 'GET /version HTTP/1.0\r\n\r\n' >&3
  read -r -t 3 answer <&3
  [[ $answer == *' 200 '* ]]
)

lifecycle "$@"
