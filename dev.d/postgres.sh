# shellcheck shell=bash
# Postgres: a cluster of its own by initdb, loopback only. It refuses to run as root, so root lends it another user.

POSTGRES_NAME=steelyard # superuser of this private cluster, database, and the password that only the Docker image asks for

postgres_start() {
  local dir=$HOME_DIR/postgres bin began version tries=0
  alive postgres && return 0
  began=$(now_ms)
  bin=$(postgres_bin)
  postgres_place "$dir"
  dir=$(cd "$dir" && pwd -P) # not by way of a directory that its user may not enter
  [[ -f $dir/data/PG_VERSION ]] || postgres_init "$dir" "$bin"
  version=$("$bin/postgres" -V | sed 's/[^0-9]*\([0-9]*\).*/\1/')
  [[ $(cat "$dir/data/PG_VERSION") == "$version" ]] ||
    die "the data in $dir is of Postgres $(cat "$dir/data/PG_VERSION"), but $bin is $version; './dev clean' starts afresh"
  postgres_conf "$dir" | postgres_as "$dir" tee "$dir/data/steelyard.conf" >/dev/null
  # After kill -9 the old children may hold the shared memory for a moment longer: then it dies at once, and a second try is enough.
  until postgres_spawn "$dir" "$bin"; poll 60 ready_or_dead postgres postgres_answers "$bin" && alive postgres; do
    if alive postgres || ((++tries == 5)); then await_ready postgres 0 false || die "Postgres did not start"; fi
    sleep 0.3
  done
  postgres_sql "$bin" "select 1 from pg_database where datname = '$POSTGRES_NAME'" | grep -q 1 ||
    postgres_sql "$bin" "create database $POSTGRES_NAME"
  started postgres "$began" "127.0.0.1:${PORT[postgres]}"
}

# Made beside its place and then renamed, so that an interrupted initdb is never taken for a cluster.
postgres_init() {
  local dir=$1 bin=$2 log=$HOME_DIR/logs/initdb.log
  rm -rf "$dir/part"
  postgres_as "$dir" "$bin/initdb" -D "$dir/part" -U "$POSTGRES_NAME" -A trust -E UTF8 --no-locale --no-sync </dev/null >"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; die "initdb failed"; }
  echo "include 'steelyard.conf'" | postgres_as "$dir" tee -a "$dir/part/postgresql.conf" >/dev/null
  mv "$dir/part" "$dir/data"
}

postgres_sql() { "$1/psql" -X -q -A -t -h 127.0.0.1 -p "${PORT[postgres]}" -U "$POSTGRES_NAME" -d postgres -c "$2"; }

# INT is Postgres's fast stop: it ends the clients and writes a checkpoint. QUIT leaves the rest to recovery.
postgres_stop() { stop_process postgres 20 INT QUIT; }

postgres_answers() { "$1/pg_isready" -q -h 127.0.0.1 -p "${PORT[postgres]}"; }

postgres_spawn() { # the command line postgres_as would run, but as the process itself
  local dir=$1 bin=$2
  local -a run=("$bin/postgres" -D "$dir/data")
  if is_root; then spawn postgres setpriv --reuid="$(postgres_user)" --regid="$(id -g "$(postgres_user)")" --init-groups "${run[@]}"
  else spawn postgres "${run[@]}"; fi
}

postgres_user() { if id -u postgres >/dev/null 2>&1; then echo postgres; else echo nobody; fi; }

postgres_as() { # DIR COMMAND...
  local dir=$1
  shift
  if is_root; then (cd "$dir" && setpriv --reuid="$(postgres_user)" --regid="$(id -g "$(postgres_user)")" --init-groups "$@")
  else "$@"; fi
}

# As root the directory belongs to the lent user, who must be able to walk there: under /root he cannot.
postgres_place() {
  local dir=$1 user far
  if [[ -d $dir ]]; then return 0; fi
  mkdir -p "$dir"
  is_root || { chmod 700 "$dir"; return 0; }
  user=$(postgres_user)
  if ! setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups test -x "$HOME_DIR"; then
    far=/var/lib/steelyard-dev/$(printf '%s' "$HOME_DIR" | cksum | cut -d' ' -f1)
    say "user $user may not enter $HOME_DIR: Postgres's files go to $far (removed by './dev clean')"
    rmdir "$dir"
    rm -rf "$far"; mkdir -p "$far"; ln -s "$far" "$dir"
  fi
  chown "$user" "$dir/."
  chmod 700 "$dir/."
}

postgres_conf() {
  local dir=$1
  cat <<CONF
# Written by ./dev at every start.
listen_addresses = '127.0.0.1'
port = ${PORT[postgres]}
unix_socket_directories = '$( ((${#dir} < 80)) && printf %s "$dir")'
max_connections = 200
shared_buffers = 256MB
max_wal_size = 2GB
synchronous_commit = on
CONF
}
