# shellcheck shell=bash
# The commands themselves.

# known_home: for commands that only look, and make nothing.
known_home() {
  HOME_DIR=${STEELYARD_HOME:-$ROOT/.steelyard}
  [[ -f $HOME_DIR/ports ]] && HOME_DIR=$(cd "$HOME_DIR" && pwd -P)
}
main_home() { use_home "${STEELYARD_HOME:-$ROOT/.steelyard}"; }
url() { echo "http://127.0.0.1:${PORT[$1]}"; }

command_run() {
  (($# == 0)) || die "run takes no arguments"
  main_home
  end_cleanly
  lock_home
  if alive steelyard || alive owner; then
    load_ports
    say "already running in $HOME_DIR (pid $(pid_of owner || pid_of steelyard)): $(url http)"
    exit 0
  fi
  own_home
  unlock_home
  node_build
  if stack_alive; then say "the services of $HOME_DIR run already: they will be left running"
  else STARTED=stack; stack_up; fi
  STARTED+=' node'
  node_start
  print_addresses
  print_lines_to_try
  say "Ctrl-C stops it. Its log: $HOME_DIR/logs/steelyard.log"
  watch_node
  say "steelyard ended by itself; the end of its log:"
  tail -n 20 "$HOME_DIR/logs/steelyard.log" >&2
  exit 1
}

# Returns when steelyard is gone. A service that ends is told, not followed: what Steelyard does then is worth seeing.
watch_node() {
  local service seen=''
  while alive steelyard; do
    sleep 1 & wait $! || true
    [[ $(cat "$HOME_DIR/mode") == packages ]] || continue
    for service in "${SERVICES[@]}"; do
      if alive "$service"; then seen=${seen/ $service/}
      elif [[ $seen != *$service* ]]; then
        seen+=" $service"
        say "$service has ended; steelyard goes on without it; './dev stack up' starts it again"
      fi
    done
  done
}

print_addresses() {
  load_ports
  local node; node=$(url http)
  cat <<TXT

  http      $node      (the contract: $node/openapi.json)
  ops       $(url ops)      (/metrics, /ops)
  kafka     127.0.0.1:${PORT[kafka]}
  redis     redis://127.0.0.1:${PORT[redis]}
  postgres  $(database_url)
TXT
}

print_lines_to_try() {
  local node; node=$(url http)
  cat <<TXT

Three lines to try: open a balance, post a transaction, read the balance (its id follows from its name).

  curl -s $node/v1/balances -H 'content-type: application/json' -d '{"ledger":"main","account":"alice","asset":"USD"}'
  curl -s $node/v1/transactions -H 'content-type: application/json' -d '{"reference":"first-1","type":"transfer","ledger":"main","postings":[{"source":{"account":"@world"},"destination":{"account":"alice"},"amount":"12.50","asset":"USD"}]}'
  curl -s $node/v1/balances/17d7c4b4-1ee2-50ec-aee0-65da31843372

TXT
}

command_status() {
  local json=''
  case ${1:-} in '') ;; --json) json=1 ;; *) die "usage: ./dev status [--json]" ;; esac
  if ! known_home; then
    if [[ $json ]]; then echo '{"running": false}'; else echo "nothing runs; './dev run' starts it"; fi
    return 1
  fi
  load_ports
  local running=false ready=false serving=false name pids='' text=''
  ! alive steelyard || running=true
  [[ $running == false ]] || ! node_ready || ready=true
  ! stack_alive || serving=true
  for name in owner steelyard kafka redis postgres; do
    alive "$name" || continue
    pids+="${pids:+, }\"${name/owner/dev}\": $(pid_of "$name")"
    text+=" ${name/owner/dev}=$(pid_of "$name")"
  done
  if [[ $json ]]; then
    if [[ $running == false && $serving == false ]]; then printf '{"running": false, "pids": {%s}}\n' "$pids"
    else
      printf '{"running": %s, "ready": %s, "services": %s, "http": "%s", "ops": "%s", "kafka": "127.0.0.1:%s", "redis": "redis://127.0.0.1:%s", "postgres": "%s", "home": "%s", "pids": {%s}}\n' \
        "$running" "$ready" "$serving" "$(url http)" "$(url ops)" "${PORT[kafka]}" "${PORT[redis]}" "$(database_url)" "$(json_text "$HOME_DIR")" "$pids"
    fi
  elif [[ $running == true ]]; then
    if [[ $ready == true ]]; then echo "running and ready"; else echo "running, not ready"; fi
    print_addresses
    echo "  pids     $text"
  elif [[ $serving == true ]]; then echo "only the services run:$text"
  else echo "nothing runs; './dev run' starts it"; fi
  [[ $running == true ]]
}

json_text() { printf '%s' "$1" | sed 's/[\\"]/\\&/g'; }

command_demo() { with_node demo demo "$@"; }
command_load() { with_node load "$@"; }

# with_node PURPOSE ARGS...: the load program against what runs here, else against an instance of its own that ends with it.
with_node() {
  local purpose=$1 rc=0
  shift
  main_home
  end_cleanly
  if alive steelyard; then
    load_ports
    say "against the running instance at $(url http)"
    node_build
  else
    say "nothing runs in $HOME_DIR ('./dev run' would): starting an instance of its own, stopped at the end"
    temp_home "$purpose"
    node_build
    STARTED=stack; stack_up
    STARTED+=' node'; node_start
  fi
  local program=${STEELYARD_LOAD_BIN:-$(target_dir)/load}
  [[ -x $program ]] || die "there is no load program at $program"
  set_env stack_env node_env client_env
  foreground "$program" "$@" || rc=$?
  exit "$rc"
}

# The fault lab, on a stack of its own. It ends and starts the services itself, so they must be processes of ours.
# Debug builds have every assertion on; only what is measured is built for speed.
command_chaos() {
  local rc=0 profile=debug revision='' older
  local -a args=()
  case ${1:-} in takeover | catchup) profile=release ;; esac
  while (($# > 0)); do
    case $1 in
      --older-rev) [[ -n ${2:-} ]] || die "--older-rev needs a commit, such as a tag"; revision=$2; shift ;;
      *) args+=("$1") ;;
    esac
    shift
  done
  end_cleanly
  temp_home chaos
  need_build
  [[ -z $revision ]] || { older_build "$revision" "$profile"; args+=(--older "$older"); }
  chaos_build "$profile"
  case " ${args[*]} " in *" list "* | *" --help "*) ;; *) STEELYARD_STACK=packages; STARTED=stack; stack_up ;; esac
  chaos_program "$profile" "${args[@]}" || rc=$?
  exit "$rc"
}

# The program as it was at a commit; its path goes to `older`. It is built once, from an export of git, in a target
# directory of its own: the first one compiles all dependencies anew.
older_build() { # REVISION PROFILE
  local commit place=${CARGO_TARGET_DIR:-$ROOT/target}/older
  local -a release=()
  [[ $2 != release ]] || release=(--release)
  commit=$(git -C "$ROOT" rev-parse --verify --quiet "$1^{commit}") || die "this repository has no commit $1"
  older=$place/programs/$commit-$2
  if [[ -x $older ]]; then say "the older program is there already: $older"; return 0; fi
  say "building the program of $(git -C "$ROOT" log -1 --format='%h (%cs, %s)' "$commit") in $place"
  rm -rf "$place/source"
  mkdir -p "$place/source" "$place/programs"
  # New times for all files: cargo goes by them, and those of a commit are older than the last build.
  git -C "$ROOT" archive "$commit" | tar -xm -C "$place/source"
  cd "$place/source" || exit 1
  foreground cargo build -q --locked "${release[@]}" --target-dir "$place" --bin steelyard || die "that program does not build"
  cp "$place/$2/steelyard" "$older.new"
  mv "$older.new" "$older"
}

chaos_build() { # PROFILE
  local -a release=()
  [[ $1 != release ]] || release=(--release)
  cd "$ROOT" || exit 1
  foreground cargo build -q --locked "${release[@]}" --workspace --bins || die "the build failed"
}

# The simulator, optimised; it needs no services. A failing seed prints itself.
command_sim() {
  need_build
  while (($# > 0)); do
    [[ $1 == --break || ${2:-} =~ ^[0-9]+$ ]] || die "$1 needs a number"
    case $1 in
      --minutes) export STEELYARD_SIM_MINUTES=$2 ;;
      --seed) export STEELYARD_SIM_SEED=$2 ;;
      --break) export STEELYARD_SIM_BREAK=${2:-} ;;
      *) die "no such argument: $1; there are --minutes N, --seed S and --break RULE" ;;
    esac
    shift 2
  done
  [[ -n ${STEELYARD_SIM_MINUTES:-}${STEELYARD_SIM_SEED:-} ]] || export STEELYARD_SIM_MINUTES=1
  cd "$ROOT" || exit 1
  exec cargo test --locked --release --test sim -- every_seed --nocapture
}

chaos_program() { # PROFILE ARGS...: against the stack of this directory, which it may end and start
  local program=${CARGO_TARGET_DIR:-$ROOT/target}/$1/chaos
  shift
  load_ports
  set_env stack_env
  export STEELYARD_HOME=$HOME_DIR STEELYARD_DEV=$ROOT/dev
  [[ -z ${PORT[link]:-} ]] || export STEELYARD_KAFKA_LINK="127.0.0.1:${PORT[link]} 127.0.0.1:${PORT[linked]}"
  foreground "$program" "$@"
}

command_test() {
  local rc=0
  compose_agrees
  end_cleanly
  temp_home test
  need_build
  need_tests
  if [[ ${STEELYARD_CI:-} ]]; then deny_fetch; fi
  check_dependencies
  STARTED=stack; stack_up
  set_env stack_env test_env
  cd "$ROOT" || exit 1
  foreground cargo test --workspace --locked "$@" || rc=$?
  # All tests, then the faults that tell most; whoever asks for some tests wants those.
  if ((rc == 0 && $# == 0)); then
    [[ $(cat "$HOME_DIR/mode") == packages ]] || die "the fault lab needs the services as processes: STEELYARD_STACK=packages"
    chaos_build debug
    chaos_program debug --ci || rc=$?
  fi
  exit "$rc"
}

# Everything that a test may need has been installed: one that would skip itself for want of it fails.
test_env() { export_line STEELYARD_TEST_STRICT 1; }

command_stack() {
  case ${1:-} in
    up)
      main_home
      end_cleanly
      stack_alive || STARTED=stack
      stack_up
      STARTED=''
      say "it keeps running; './dev stack down' stops it"
      ;;
    down)
      known_home || die "nothing was ever started in $HOME_DIR"
      end_cleanly
      node_stop
      stack_down
      ;;
    env)
      { known_home && load_ports && stack_alive; } || die "no stack runs in $HOME_DIR"
      stack_env
      if [[ ${2:-} == --all ]]; then node_env; client_env; fi
      ;;
    *) die "usage: ./dev stack up|down|env [--all]" ;;
  esac
}

command_clean() {
  sweep_temp_homes
  known_home || [[ -d $HOME_DIR/pids || -d $PYTHON_DIR ]] || { say "nothing to remove in $HOME_DIR"; return 0; }
  HOME_DIR=$(cd "$HOME_DIR" && pwd -P)
  ! alive owner || die "./dev run is at work in $HOME_DIR (pid $(pid_of owner)): stop it first"
  end_cleanly
  node_stop
  [[ ! -f $HOME_DIR/mode ]] || stack_down
  wipe_home
  say "removed $HOME_DIR with all its data; Kafka's jars stay in $KAFKA_JARS"
}

command_help() {
  cat <<'TXT'
usage: ./dev COMMAND

  run               start Kafka, Redis, Postgres and Steelyard here; Ctrl-C stops them; data stays in .steelyard/
  status [--json]   what runs, and at which addresses; exit code 1 when Steelyard does not run
  demo              play a realistic day against it, or against an instance of its own when nothing runs
  load ARGS...      the load generator, likewise; './dev load --help' tells more
  chaos [ARGS...]   the fault lab: faults done under load, then the proof; './dev chaos --help' tells more;
                    --older-rev COMMIT builds the program of that commit first, for the fault rolling-upgrade
  sim [ARGS...]     the simulator: --minutes N looks at as many seeds as there is time for, --seed S at one, or from it on;
                    --break RULE switches a rule off first, see tests/sim/breaks.rs
  test [ARGS...]    everything it needs, then 'cargo test --workspace' with these arguments
  kafka TOOL ARGS   Kafka's own tools against the running broker: topics, groups, configs, ...
  stack up|down|env only the three services, for tools; 'env' prints shell lines that lead to them
  clean             stop what runs in .steelyard/ and remove it with all its data
  help              this

What is missing is found or installed: packages by apt, Kafka from its published jars, or all three services by Docker
Compose where an engine answers and the packages are not there.

  STEELYARD_HOME    the directory to use instead of .steelyard/
  STEELYARD_BROKERS 3 instead of one broker, for a directory that is used for the first time; packages only
  STEELYARD_STACK   docker or packages, instead of looking
  STEELYARD_BIN     a built steelyard program to use instead of building one
TXT
}
