# shellcheck shell=bash
command_stack() {
  use_home "${STEELYARD_HOME:-$ROOT/.steelyard}"
  case ${1:-} in
    up) stack_up; say "it keeps running; './dev stack down' stops it" ;;
    down) stack_down ;;
    env) load_ports; stack_alive || die "no stack runs in $HOME_DIR"; stack_env ;;
    *) die "usage: ./dev stack up|down|env" ;;
  esac
}
