# shellcheck shell=bash
# Words shared by every part of ./dev: saying, failing, waiting, ports, and processes known by pid file.
#
# A process that ./dev starts is recorded as "<pid> <start time>" in $HOME_DIR/pids/<name>. The start time makes a
# reused pid harmless: nothing is ever signalled that this directory did not start itself.

# What is downloaded or built once, for all checkouts of this user.
# shellcheck disable=SC2034
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/steelyard

say()  { printf '%s\n' "dev: $*" >&2; }
warn() { printf '%s\n' "dev: warning: $*" >&2; }
die()  { printf '%s\n' "dev: error: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
now_ms() { if [[ $(date +%N) == *N ]]; then echo "$(date +%s)000"; else echo $(($(date +%s%N) / 1000000)); fi; }

# use_home DIR: everything below works on this directory.
use_home() {
  mkdir -p "$1/pids" "$1/logs"
  HOME_DIR=$(cd "$1" && pwd -P)
  # Postgres runs as another user when we are root: it has to be able to walk through, not to look around.
  if is_root; then chmod 711 "$HOME_DIR"; else chmod 700 "$HOME_DIR"; fi
  chmod 755 "$HOME_DIR/logs"
}

is_root() { [[ $(id -u) == 0 ]]; }

# One ./dev at a time changes a directory. The lock names its holder, so a stale one is seen and taken over.
lock_home() {
  local lock=$HOME_DIR/lock holder tries=0
  until (set -o noclobber; echo "$$" >"$lock") 2>/dev/null; do
    holder=$(cat "$lock" 2>/dev/null || true)
    if [[ -n $holder ]] && ! kill -0 "$holder" 2>/dev/null; then rm -f "$lock"; continue; fi
    ((tries++ == 0)) && say "waiting for another ./dev (pid ${holder:-?}) that is starting or stopping in $HOME_DIR"
    ((tries < 600)) || die "gave up waiting for $lock (held by pid ${holder:-?})"
    sleep 0.2
  done
}
unlock_home() { [[ $(cat "$HOME_DIR/lock" 2>/dev/null) != "$$" ]] || rm -f "$HOME_DIR/lock"; }

# ---- processes -------------------------------------------------------------------------------------------------

started_at() { # PID: its start time, the same for as long as it lives; empty when it is gone or a zombie
  local stat state
  if [[ -r /proc/$1/stat ]]; then
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    stat=${stat##*) } state=${stat%% *}
    [[ $state == Z || $state == X ]] || awk '{print $20}' <<<"$stat"
  elif [[ ! -d /proc/self ]]; then
    ps -o lstart= -p "$1" 2>/dev/null | tr -s ' ' '_' || true
  fi
}

pid_of() { # NAME: its pid, if what the pid file names still runs
  local pid at
  { read -r pid at <"$HOME_DIR/pids/$1"; } 2>/dev/null || return 1
  [[ -n $pid && -n $at && $(started_at "$pid") == "$at" ]] && echo "$pid"
}

alive() { pid_of "$1" >/dev/null; }

# spawn NAME COMMAND...: in a session of its own, so that Ctrl-C here reaches it only through stop_process.
spawn() {
  local name=$1 log=$HOME_DIR/logs/$1.log pid
  shift
  [[ ! -s $log ]] || mv -f "$log" "$log.1"
  in_session "$@" </dev/null >"$log" 2>&1 &
  pid=$!
  printf '%s %s\n' "$pid" "$(started_at "$pid")" >"$HOME_DIR/pids/$name"
}

# exec-like, to be used with `&`: the pid is then that of the command itself.
in_session() {
  if have setsid; then exec setsid "$@"; fi
  exec perl -MPOSIX -e 'POSIX::setsid(); exec @ARGV or die' "$@"
}

# stop_process NAME SECONDS SIGNAL...: each signal in turn, then KILL, each with the same patience.
stop_process() {
  local name=$1 patience=$2 pid signal
  shift 2
  if ! pid=$(pid_of "$name"); then rm -f "$HOME_DIR/pids/$name"; return 0; fi
  for signal in "$@" KILL; do
    [[ $signal != KILL ]] || warn "$name (pid $pid) did not stop in ${patience}s: killing it"
    kill -s "$signal" "$pid" 2>/dev/null || true
    if poll "$patience" gone "$name"; then rm -f "$HOME_DIR/pids/$name"; return 0; fi
  done
  warn "$name (pid $pid) is still there"
  return 1
}

gone() { ! alive "$1"; }

# poll SECONDS COMMAND...: true as soon as the command is, false when the time is up.
poll() {
  local until=$(($(now_ms) + $1 * 1000))
  shift
  while ! "$@"; do
    (($(now_ms) < until)) || return 1
    sleep 0.05
  done
}

# await_ready NAME SECONDS PROBE...: waits for a real answer; a dead or silent process ends it with the log's tail.
await_ready() {
  local name=$1 seconds=$2
  shift 2
  if poll "$seconds" ready_or_dead "$name" "$@" && alive "$name"; then return 0; fi
  say "$name is not ready; the end of $HOME_DIR/logs/$name.log:"
  tail -n 25 "$HOME_DIR/logs/$name.log" >&2 || true
  return 1
}
ready_or_dead() { local name=$1; shift; ! alive "$name" || "$@"; }

# ---- ports -----------------------------------------------------------------------------------------------------

# Chosen once and kept in $HOME_DIR/ports. Below the kernel's ephemeral range, so no client socket sits on one.
PORT_NAMES=(kafka controller link linked redis postgres http ops)

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

load_ports() {
  local name port changed=
  declare -gA PORT=()
  [[ $(kafka_nodes) == kafka ]] || PORT_NAMES=(kafka kafka2 kafka3 controller controller2 controller3 redis postgres http ops)
  if [[ -f $HOME_DIR/ports ]]; then
    while read -r name port; do PORT[$name]=$port; done <"$HOME_DIR/ports"
  fi
  for name in "${PORT_NAMES[@]}"; do
    [[ -z ${PORT[$name]:-} ]] || continue
    PORT[$name]=$(free_port); changed=1
  done
  [[ -z $changed ]] || save_ports
}

save_ports() {
  local name
  for name in "${PORT_NAMES[@]}"; do echo "$name ${PORT[$name]}"; done >"$HOME_DIR/ports.new"
  mv -f "$HOME_DIR/ports.new" "$HOME_DIR/ports"
}

free_port() {
  local port
  while :; do
    port=$((15000 + $(od -An -N4 -tu4 /dev/urandom) % 15000))
    [[ " ${PORT[*]} " == *" $port "* ]] || port_open "$port" || break
  done
  echo "$port"
}

# claim_port NAME: the remembered port, or another one if a stranger has taken it since.
claim_port() {
  local old=${PORT[$1]}
  port_open "$old" || return 0
  PORT[$1]=$(free_port)
  say "port $old is taken by another program: $1 moves to ${PORT[$1]}"
  save_ports
}
