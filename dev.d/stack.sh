# shellcheck shell=bash
# The three services as one thing: up, down, and the environment that leads to them.
#
# By packages (processes of ours, on loopback ports of this directory) or by Docker Compose (dev.d/compose.sh).
# What a directory was started with is what it is stopped with.

SERVICES=(kafka redis postgres) # stopped in reverse
STARTING=()                     # pids of the subshells that are starting them

stack_up() {
  local began
  began=$(now_ms)
  lock_home
  load_ports
  if [[ $(stack_mode) == docker ]]; then
    echo docker >"$HOME_DIR/mode"
    compose_up || die "Docker Compose could not start the services"
  else
    need_stack
    kafka_fetch
    echo packages >"$HOME_DIR/mode"
    local service node i failed=''
    for node in $(kafka_nodes); do alive "$node" || { claim_port "$node"; claim_port "$(kafka_controller "$node")"; }; done
    # Whoever listens at the linked port is the fault lab, and stays when the broker comes back.
    alive kafka || [[ -z ${PORT[link]:-} ]] || claim_port link
    alive redis || claim_port redis
    alive postgres || claim_port postgres
    # Side by side: each is ready on its own word.
    STARTING=()
    for service in "${SERVICES[@]}"; do ("${service}_start") & STARTING+=($!); done
    for i in "${!STARTING[@]}"; do wait "${STARTING[$i]}" || failed+=" ${SERVICES[$i]}"; done
    STARTING=()
    [[ -z $failed ]] || die "not started:$failed"
  fi
  unlock_home
  say "services ready in $(seconds_since "$began") s, in $HOME_DIR"
}

stack_down() {
  local began service any=''
  began=$(now_ms)
  lock_home
  load_ports
  if [[ $(cat "$HOME_DIR/mode" 2>/dev/null) == docker ]]; then any=1; compose_down
  else
    for service in "${SERVICES[@]}"; do ! alive "$service" || any=1; done
    stack_stop_all
  fi
  unlock_home
  if [[ $any ]]; then say "services stopped in $(seconds_since "$began") s"; else say "no service was running"; fi
}

stack_stop_all() {
  local i
  for ((i = ${#SERVICES[@]} - 1; i >= 0; i--)); do "${SERVICES[i]}_stop" || true; done
}

stack_alive() { # every service runs
  local service
  if [[ $(cat "$HOME_DIR/mode" 2>/dev/null) == docker ]]; then compose_alive; return; fi
  kafka_alive || return 1
  for service in "${SERVICES[@]}"; do alive "$service" || return 1; done
}

# STEELYARD_STACK decides if it is set. Else: packages if all are here; an engine that answers; packages to install.
stack_mode() {
  if [[ -n ${STEELYARD_STACK:-} ]]; then
    [[ $STEELYARD_STACK == docker || $STEELYARD_STACK == packages ]] || die "STEELYARD_STACK is docker or packages, not '$STEELYARD_STACK'"
    echo "$STEELYARD_STACK"
  elif packages_present; then echo packages
  elif compose_answers; then echo docker
  else echo packages
  fi
}

started() { say "$1 ready in $(seconds_since "$2") s at $3"; }
seconds_since() { local ms=$(($(now_ms) - $1)); printf '%d.%02d' $((ms / 1000)) $((ms % 1000 / 10)); }

# ---- environment -----------------------------------------------------------------------------------------------

# What tests and tools read.
stack_env() {
  export_line STEELYARD_KAFKA_BROKERS "$(kafka_brokers)"
  export_line STEELYARD_REDIS_URL "redis://127.0.0.1:${PORT[redis]}"
  export_line STEELYARD_DATABASE_URL "$(database_url)"
  export_line STEELYARD_REPLICATION_FACTOR "$(kafka_nodes | wc -w)"
  export_line STEELYARD_LEG_SECRET "$(leg_secret)"
  ! kafka_jars_complete || export_line STEELYARD_TEST_KAFKA_CLASSPATH "$KAFKA_CLASSPATH"
  ! python_complete || export_line STEELYARD_TEST_PYTHON "$(python_bin)"
}

# What `steelyard all` of this directory reads besides.
node_env() {
  export_line STEELYARD_HTTP_LISTEN "127.0.0.1:${PORT[http]}"
  export_line STEELYARD_OPS_LISTEN "127.0.0.1:${PORT[ops]}"
  export_line STEELYARD_INSECURE true
}

# For programs that call it: the load generator and the demo.
client_env() {
  export_line STEELYARD_HTTP_URL "http://127.0.0.1:${PORT[http]}"
  export_line STEELYARD_OPS_URL "http://127.0.0.1:${PORT[ops]}"
}

database_url() { echo "postgres://$POSTGRES_NAME:$POSTGRES_NAME@127.0.0.1:${PORT[postgres]}/$POSTGRES_NAME"; }
export_line() { printf 'export %s=%q\n' "$1" "$2"; }

leg_secret() {
  local file=$HOME_DIR/leg-secret
  [[ -s $file ]] || (umask 077; head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$file")
  cat "$file"
}
