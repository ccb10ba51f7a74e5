#!/usr/bin/env bash
# Installs and downloads what the named servers need, and starts nothing:   fetch.sh kafka | mongodb | redis | toxiproxy …
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

missing() {
  packages=()
  local server
  for server in "$@"; do
    mapfile -t -O "${#packages[@]}" packages < <("$local_scripts/$server.sh" missing)
  done
}
missing "$@"
if [ "${#packages[@]}" -gt 0 ]; then
  if command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ]; then
    echo "installing what is missing: ${packages[*]}"
    mkdir -p "$state_dir"
    log=$state_dir/packages.log
    export DEBIAN_FRONTEND=noninteractive
    # Which names there are (which Java) is known after the update only, hence the second look.
    if ! { apt-get update -q && missing "$@" && apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=120 "${packages[@]}"; } >"$log" 2>&1; then
      echo "apt-get failed. The end of $log:" >&2
      tail -n 20 "$log" >&2
      exit 1
    fi
  else
    echo "Missing on this machine: ${packages[*]} (names of Debian packages). To install:" >&2
    echo "  sudo apt-get update && sudo apt-get install -y ${packages[*]}" >&2
    exit 1
  fi
fi

fetches=()
for server in "$@"; do
  "$local_scripts/$server.sh" fetch &
  fetches+=($!)
done
failed=0
for fetch in "${fetches[@]}"; do
  wait "$fetch" || failed=1
done
exit "$failed"
