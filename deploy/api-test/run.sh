#!/usr/bin/env bash
# Runs a property-based tester of APIs against a new rastro, with all checks on: no 5xx, and no answer outside of the description that the
# service gives of itself. The exit code tells.   run.sh
#
#   MAX_TIME=SECONDS       how long it tries                                                     [120]
#   PROGRAM=FILE           a rastro that is there, instead of one that is built
#   SEED=N                 the seed of a run that failed, which is printed
#
# The tester is a Python program; it is installed once, in the versions of requirements.txt, where compiled dependencies are kept too.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
repository=$(cd "$here/../.." && pwd -P)
target=${CARGO_TARGET_DIR:-$repository/target}
# Seconds until rastro must be ready.
ready_deadline=60
work=$(mktemp -d)
pid=

say() { printf '== %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

trap 'if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; wait "$pid" || true; fi; rm -rf "$work"' EXIT

# One environment for each set of versions; a half-made one is never used.
sum=$(sha256sum "$here/requirements.txt" | cut -c1-16)
tester=${XDG_CACHE_HOME:-$HOME/.cache}/rastro/api-test-$sum
if [ ! -e "$tester/ready" ]; then
  say 'installing the tester'
  rm -rf "$tester"
  python3 -m venv "$tester"
  "$tester/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
  touch "$tester/ready"
fi

if [ -z "${PROGRAM:-}" ]; then
  say 'building'
  cargo build --quiet --locked --manifest-path "$repository/Cargo.toml" -p rastro
  PROGRAM=$target/debug/rastro
fi

taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
port=26080
while taken "$port"; do port=$((port + 1)); done
url=http://127.0.0.1:$port
env -u KAFKA_BROKERS -u MONGO_URI -u REDIS_ADDR PORT="$port" DATA_DIR="$work/data" ENV=development LOG_LEVEL=warn \
  "$PROGRAM" >"$work/rastro.log" 2>&1 &
pid=$!

# get PATH: the answer of rastro, with the tester's Python, so that no other program is needed.
get() { "$tester/bin/python" -c 'import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=5).read().decode())' "$url$1"; }
until=$((SECONDS + ready_deadline))
until get /readyz >/dev/null 2>&1; do
  kill -0 "$pid" 2>/dev/null || { cat "$work/rastro.log" >&2; fail 'rastro did not start'; }
  [ "$SECONDS" -lt "$until" ] || fail "rastro was not ready within $ready_deadline s"
  sleep 0.2
done

# token USER: logs in one of the users of development.
token() {
  "$tester/bin/python" - "$url" "$1" <<'PYTHON'
import json, sys, urllib.request
body = json.dumps({"username": sys.argv[2], "password": "password123"}).encode()
request = urllib.request.Request(sys.argv[1] + "/auth/login", body, {"Content-Type": "application/json"})
print(json.load(urllib.request.urlopen(request, timeout=10))["token"])
PYTHON
}
TOKEN=$(token admin_user)
CLIENT_TOKEN=$(token client_user_001)
export TOKEN CLIENT_TOKEN

# Every path: by itself the tester leaves out the one where it has found the description.
say "testing for ${MAX_TIME:-120} s"
code=0
(
  cd "$work"
  PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1 SCHEMATHESIS_HOOKS=hooks "$tester/bin/schemathesis" \
    --config-file "$here/schemathesis.toml" run "$url/openapi.json" --url "$url" \
    --include-path-regex '^/' --checks all --continue-on-failure --max-time "${MAX_TIME:-120}" ${SEED:+--seed "$SEED"}
) || code=$?
kill -0 "$pid" 2>/dev/null || { cat "$work/rastro.log" >&2; fail 'rastro ended during the test'; }
exit "$code"
