# shellcheck shell=bash
# Steelyard itself: built, given its topics and tables, started as `steelyard all`, and stopped.

# Everything is built as one workspace each time: building one package alone would resolve the shared crates' features
# anew and compile them twice. STEELYARD_BIN names a binary that is ready made.
node_build() {
  if [[ -z ${STEELYARD_BIN:-} ]]; then
    need_build
    say "building (the first time takes some minutes)"
    local here=$PWD
    cd "$ROOT" || exit 1 # cargo and rustup look for their settings from here
    foreground cargo build --release --locked --workspace --bins || die "the build failed"
    cd "$here" || exit 1
  fi
  [[ -x $(steelyard_bin) ]] || die "there is no program at $(steelyard_bin)"
}

target_dir() { echo "${CARGO_TARGET_DIR:-$ROOT/target}/release"; }
steelyard_bin() { echo "${STEELYARD_BIN:-$(target_dir)/steelyard}"; }

# with_env COMMAND...: with the addresses of this directory. What the caller's shell has set under the same names does
# not count: one word of it could lead a local run to somebody's real database.
with_env() { (
  set_env stack_env node_env client_env
  "$@"
); }
set_env() {
  local lines
  lines=$(for part in "$@"; do "$part"; done)
  unset "${!STEELYARD_@}"
  eval "$lines"
}

node_start() {
  local bin began
  bin=$(steelyard_bin)
  load_ports
  claim_port http; claim_port ops
  began=$(now_ms)
  with_env "$bin" topics apply >"$HOME_DIR/logs/topics.log" 2>&1 || { cat "$HOME_DIR/logs/topics.log" >&2; die "'steelyard topics apply' failed"; }
  with_env "$bin" migrate >"$HOME_DIR/logs/migrate.log" 2>&1 || { cat "$HOME_DIR/logs/migrate.log" >&2; die "'steelyard migrate' failed"; }
  with_env spawn steelyard "$bin" all
  await_ready steelyard 120 node_ready || die "Steelyard did not become ready"
  started steelyard "$began" "http://127.0.0.1:${PORT[http]}"
}

node_ready() { curl -fsS -o /dev/null --max-time 2 "http://127.0.0.1:${PORT[http]}/readyz" 2>/dev/null; }

# It finishes its batch and answers who waits; only then is it told less kindly.
node_stop() { stop_process steelyard 30 TERM; }

# ---- children and endings --------------------------------------------------------------------------------------

STARTED=  # "node" and "stack", as far as this ./dev has begun to start them
TEMP=     # what the directory is for, when it is our own to remove

# foreground COMMAND...: in a session of its own, so that a signal to ./dev alone ends it too, with its children.
foreground() {
  local rc=0 pid
  in_session "$@" </dev/null &
  pid=$!
  echo "$pid $(started_at "$pid")" >"$HOME_DIR/pids/child.$$"
  wait "$pid" || rc=$?
  rm -f "$HOME_DIR/pids/child.$$"
  return "$rc"
}

end_child() { # of the ./dev with this pid
  local pid
  pid=$(pid_of "child.$1") || return 0
  kill -s TERM -- "-$pid" 2>/dev/null || true
  poll 15 group_gone "$pid" || kill -s KILL -- "-$pid" 2>/dev/null || true
  rm -f "$HOME_DIR/pids/child.$1"
}
group_gone() { ! kill -0 -- "-$1" 2>/dev/null; }

# From here on, however this ends, what was started is stopped: node first, then the services in reverse.
end_cleanly() {
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'finish $?' EXIT
}

finish() {
  trap '' HUP INT TERM
  trap - EXIT
  set +e
  end_child $$
  # Services that are just starting have their pid files written before anything is stopped.
  ((${#STARTING[@]} == 0)) || wait "${STARTING[@]}" 2>/dev/null
  unlock_home
  if [[ $STARTED == *node* ]] && alive steelyard; then say "stopping steelyard"; node_stop; fi
  [[ $STARTED != *stack* ]] || stack_down
  [[ $(pid_of owner) != "$$" ]] || rm -f "$HOME_DIR/pids/owner"
  [[ -z $TEMP ]] || drop_temp "$1"
  exit "$1"
}

# own_home: marks the directory as in use by this ./dev.
own_home() {
  echo "$$ $(started_at $$)" >"$HOME_DIR/pids/owner.$$"
  mv -f "$HOME_DIR/pids/owner.$$" "$HOME_DIR/pids/owner"
}

# ---- directories that are ours to remove -----------------------------------------------------------------------

temp_home() { # PURPOSE
  sweep_temp_homes
  TEMP=$1
  use_home "$(mktemp -d "${TMPDIR:-/tmp}/steelyard-$1.XXXXXX")"
  own_home
}

drop_temp() { # EXIT-CODE: after a failure, but not after a signal, the logs are kept
  if (($1 != 0 && $1 < 128)); then
    local kept
    kept=$(dirname "$(target_dir)")/dev-logs/$TEMP
    rm -rf "$kept"
    mkdir -p "$kept" && cp -R "$HOME_DIR/logs/." "$kept/" && say "the services' logs are kept in $kept"
  fi
  wipe_home
}

wipe_home() {
  local inner
  # The fault lab makes directories within its own, some on small mounts.
  for inner in "$HOME_DIR"/*/pids; do
    [[ -d $inner ]] || continue
    (use_home "${inner%/pids}"; stack_down; wipe_home) || true
  done
  for inner in "$HOME_DIR"/*/; do ! mountpoint -q "$inner" || umount -l "$inner"; done
  [[ $(cat "$HOME_DIR/mode" 2>/dev/null) != docker ]] || { load_ports; compose_wipe; }
  if [[ -L $HOME_DIR/postgres ]]; then rm -rf "$(readlink -f "$HOME_DIR/postgres")"; fi
  rm -rf "$HOME_DIR"
}

# A ./dev that was killed hard could not clear up: the next one does, for directories whose owner is gone.
sweep_temp_homes() {
  local dir
  for dir in "${TMPDIR:-/tmp}"/steelyard-{test,demo,load,chaos}.*/; do
    [[ -O $dir && -f ${dir}pids/owner ]] || continue
    (
      use_home "$dir"
      pid_of owner >/dev/null && exit 0
      say "an earlier ./dev was killed: stopping and removing what it left in $HOME_DIR"
      end_child "$(cut -d' ' -f1 "$HOME_DIR/pids/owner")"
      node_stop; stack_down; wipe_home
    ) || true
  done
}
