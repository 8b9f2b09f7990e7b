# shellcheck shell=bash
# The three services by Docker Compose, where an engine answers: docker-compose.yml with this directory's ports.

compose_answers() { have docker && docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; }

compose_run() {
  STEELYARD_KAFKA_PORT=${PORT[kafka]} STEELYARD_REDIS_PORT=${PORT[redis]} STEELYARD_POSTGRES_PORT=${PORT[postgres]} \
  STEELYARD_LEG_SECRET=$(leg_secret) \
    docker compose -f "$ROOT/docker-compose.yml" -p "$(compose_project)" "$@"
}

compose_project() { echo "steelyard-$(printf '%s' "$HOME_DIR" | cksum | cut -d' ' -f1)"; }

compose_up() {
  compose_answers || die "no Docker engine answers here"
  say "starting kafka, redis and postgres with Docker Compose (project $(compose_project))"
  compose_run up --detach --wait --wait-timeout 180 "${SERVICES[@]}" >"$HOME_DIR/logs/compose.log" 2>&1 && return 0
  tail -n 25 "$HOME_DIR/logs/compose.log" >&2
  return 1
}

compose_down() { compose_run down --timeout 20 >"$HOME_DIR/logs/compose.log" 2>&1 || tail -n 25 "$HOME_DIR/logs/compose.log" >&2; }
compose_wipe() { compose_run down --volumes --timeout 20 >/dev/null 2>&1 || true; }

compose_alive() { (($(compose_run ps --quiet --status running "${SERVICES[@]}" 2>/dev/null | grep -c .) == ${#SERVICES[@]})); }

# The image tags are the versions that ./dev pins.
compose_agrees() {
  local image
  for image in "apache/kafka:$KAFKA_VERSION" "redis:$REDIS_MAJOR" "postgres:$POSTGRES_MAJOR"; do
    grep -q "image: $image\$" "$ROOT/docker-compose.yml" || die "docker-compose.yml does not name $image, as dev.d/versions.sh does"
  done
}
