# shellcheck shell=bash
# Redis: append-only file, no eviction, loopback only.

redis_start() {
  local dir=$HOME_DIR/redis began
  alive redis && return 0
  began=$(now_ms)
  mkdir -p "$dir"
  cat >"$dir/redis.conf" <<CONF
# Written by ./dev at every start.
bind 127.0.0.1
port ${PORT[redis]}
dir $dir
daemonize no
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
CONF
  spawn redis redis-server "$dir/redis.conf"
  await_ready redis 60 redis_answers || die "Redis did not start"
  started redis "$began" "127.0.0.1:${PORT[redis]}"
}

redis_stop() { stop_process redis 15 TERM; }

# LOADING is an answer too, but not a PONG.
redis_answers() { [[ $(redis-cli -h 127.0.0.1 -p "${PORT[redis]}" ping 2>/dev/null) == PONG ]]; }
