#!/usr/bin/env bash
# Start, stop, kill and status of one server, the same for all three. Sourced by kafka.sh, mongodb.sh and redis.sh, which set
#   name, title, ports, port_variables, deadline (seconds)
# and define
#   missing    prints the Debian packages that this machine lacks for it
#   fetch      downloads into the cache what is not there yet
#   configure  prepares $dir, in $dir
#   launch     execs the server, in $dir
#   ready      whether it can be used; what it prints is shown when it stays unready
# shellcheck disable=SC2154 # assigned by the sourcing script and by env.sh

say() { printf '%-8s %s\n' "$name" "$*"; }

die() {
  say "$*" >&2
  exit 1
}

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Who listens on a port, where the system says it.
owner() { ss -Hltnp "sport = :$1" 2>/dev/null | sed -n 's/.*users:((\(.*\))).*/ (\1)/p'; }

# await SECONDS COMMAND…: whether the command succeeded before the deadline.
await() {
  local until=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$until" ] || return 1
    sleep 0.1
  done
}

# The process of the pid file, when it is ours: pids are used again, so it must also work in this server's directory.
# (`kill -0` would take a zombie for a server.)
running_pid() {
  local pid
  pid=$(cat "$dir/pid" 2>/dev/null) || return 1
  [ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd")" = "$dir" ] && echo "$pid"
}

stopped() { ! running_pid >/dev/null; }

ports_free() {
  local port
  for port in $ports; do
    ! listening "$port" || return 1
  done
}

settled() {
  hint=$(ready 2>&1) || stopped
}

fail_with_log() {
  say "$1${hint:+: $hint}. The end of $log:" >&2
  tail -n 20 "$log" >&2
  exit 1
}

await_ready() {
  hint=
  await "$deadline" settled || { signal KILL; fail_with_log "not ready after $deadline s, killed"; }
  ! stopped || fail_with_log "ended while it started"
}

start() {
  local pid port lacks
  if pid=$(running_pid); then
    await_ready
    say "runs already, port ${ports%% *}, pid $pid"
    return
  fi
  if [ -e "$dir/pid" ]; then
    say "forgetting a stale pid file ($(cat "$dir/pid") is not it)"
    rm -f "$dir/pid"
  fi
  for port in $ports; do
    ! listening "$port" || die "port $port is taken by another program$(owner "$port"): stop that, or choose other ports ($port_variables)"
  done
  lacks=$(missing)
  [ -z "$lacks" ] || die "needs packages that are not installed: ${lacks//$'\n'/ } (\`make up\` as root installs them)"
  fetch
  # mongod asks for 64,000 open files; less is a warning, not a reason to stop.
  ulimit -n 65536 2>/dev/null || true
  [ ! -e "$log" ] || mv "$log" "$log.previous"
  (cd "$dir" && configure) >"$log" 2>&1 || fail_with_log "could not be configured"
  # A session of its own: Ctrl-C in the terminal of `make run` is not for the servers. The pid is written before the
  # exec: whenever this script dies, the server is known or it was never started.
  (
    cd "$dir" || exit
    echo "$BASHPID" >pid
    launch
  ) >>"$log" 2>&1 </dev/null 9>&- &
  # Until the subshell has written it, there is nothing to find.
  await 5 test -s "$dir/pid" || die "could not write $dir/pid"
  await_ready
  say "started, port ${ports%% *}, pid $(running_pid)"
}

signal() {
  local pid
  if pid=$(running_pid); then kill "-$1" "$pid" 2>/dev/null || true; fi
}

stop() {
  if stopped; then
    rm -f "$dir/pid"
    say "not running"
    return
  fi
  signal "$1"
  if ! await 30 stopped; then
    say "does not stop after 30 s, killing it"
    signal KILL
  fi
  await 10 stopped || die "pid $(running_pid) survives a kill"
  await 10 ports_free || die "stopped, but one of its ports ($ports) is still taken by another program"
  rm -f "$dir/pid"
  say "stopped"
}

status() {
  local pid
  if ! pid=$(running_pid); then
    say "stopped  $title"
    return 3
  elif ! ready >/dev/null 2>&1; then
    say "unready  $title, port ${ports%% *}, pid $pid; log: $log"
    return 1
  fi
  say "up       $title, port ${ports%% *}, pid $pid"
}

# One command at a time for each server: two `make up` at once start one set.
lock() {
  exec 9>"$dir/lock"
  flock -w 300 9 || die "another command has held $dir/lock for 300 s"
}

lifecycle() {
  mkdir -p "$state_dir/$name"
  # Physical, because running_pid compares it with what the kernel says.
  dir=$(cd "$state_dir/$name" && pwd -P)
  log=$dir/$name.log
  case ${1:-} in
    start) lock && start ;;
    stop) lock && stop TERM ;;
    kill) lock && stop KILL ;;
    status) status ;;
    missing) missing ;;
    fetch) fetch ;;
    *) die "usage: $0 start | stop | kill | status | missing | fetch" ;;
  esac
}
