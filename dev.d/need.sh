# shellcheck shell=bash
# Finds what a command needs, and installs what is missing: one line says what and why, nothing is done twice.
#
# Packages come from apt, as root or through sudo. No system service is started or left to start at boot by this:
# Steelyard runs its own Redis and Postgres from a private directory.

APT_WANTED=()
APT_REASONS=()

want() { # PACKAGES REASON
  APT_WANTED+=("$1")
  APT_REASONS+=("$2")
}

need_stack() {
  redis_server >/dev/null || want "redis-server" "Redis $REDIS_MAJOR, the hot store"
  have redis-cli || want "redis-tools" "redis-cli, to see whether Redis answers"
  postgres_bin >/dev/null || want "postgresql" "Postgres $POSTGRES_MAJOR, the cold store"
  need_kafka
  install_wanted
}

need_kafka() {
  java_17 || want "openjdk-17-jre-headless" "Java 17, which runs Kafka"
  kafka_jars_complete || have mvn || want "maven" "Maven, which downloads Kafka's jars"
}

# The clients that tests run as strangers' programs, and the servers that they stop. Docker is no substitute for these.
need_tests() {
  redis_server >/dev/null || want "redis-server" "Redis $REDIS_MAJOR, which tests stop and start"
  have redis-cli || want "redis-tools" "redis-cli, to see whether Redis answers"
  postgres_bin >/dev/null || want "postgresql" "Postgres $POSTGRES_MAJOR, which tests stop and start"
  have kcat || want "kcat" "kcat, the README's client for shells"
  have openssl || want "openssl" "openssl, which makes certificates for Kafka over TLS"
  need_kafka
  java_compiler || want "openjdk-17-jdk-headless" "Java's compiler, for the Java client"
  python_complete || python_venv || want "python3-venv" "Python's venv, for the Python client"
  install_wanted
  kafka_fetch
  python_fetch
}

need_build() {
  { have cc && have c++ && have make; } || want "build-essential" "a C and C++ compiler and make, for librdkafka"
  have pkg-config || want "pkg-config" "pkg-config, which finds OpenSSL"
  c_header openssl/ssl.h || want "libssl-dev" "OpenSSL's headers, for Kafka over TLS"
  c_header zlib.h || want "zlib1g-dev" "zlib's headers, for compressed records"
  have curl || want "curl" "curl, to see whether Steelyard answers"
  install_wanted
  if ! have cargo && [[ -x $HOME/.cargo/bin/cargo ]]; then PATH=$HOME/.cargo/bin:$PATH; fi
  have cargo || die "Rust is missing, and no package here is new enough: install rustup (https://rustup.rs), then run this again; rust-toolchain.toml picks the version"
}

redis_server() { command -v redis-server; }
java_17() { have java && (($(java_major) >= 17)); }
java_compiler() { have java && java --list-modules 2>/dev/null | grep -q '^jdk\.compiler@'; }
java_major() { java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1 | grep . || echo 0; }

postgres_bin() { # the newest directory that holds initdb and postgres
  local dir
  for dir in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -t/ -k5,5nr) "$(pg_config --bindir 2>/dev/null || true)"; do
    if [[ -x $dir/initdb && -x $dir/postgres ]]; then echo "$dir"; return 0; fi
  done
  return 1
}

c_header() {
  [[ -e /usr/include/$1 ]] || compgen -G "/usr/include/*-linux-*/$1" >/dev/null ||
    { have cc && printf '#include <%s>\n' "$1" | cc -E -x c - >/dev/null 2>&1; }
}

# Everything is there already, so that neither apt nor Docker is worth a thought.
packages_present() {
  redis_server >/dev/null && have redis-cli && postgres_bin >/dev/null && java_17 && { kafka_jars_complete || have mvn; }
}
packages_installable() { have apt-get && { is_root || have sudo; }; }

install_wanted() {
  ((${#APT_WANTED[@]})) || return 0
  local i
  for i in "${!APT_WANTED[@]}"; do say "missing ${APT_REASONS[$i]}: installing the package ${APT_WANTED[$i]}"; done
  packages_installable || die "cannot install packages here (no apt-get, or neither root nor sudo): please install: ${APT_WANTED[*]}"
  apt_install "${APT_WANTED[@]}"
  APT_WANTED=() APT_REASONS=()
}

as_root() { if is_root; then "$@"; else sudo "$@"; fi; }

apt_install() {
  local log=$HOME_DIR/logs/apt.log policy=/usr/sbin/policy-rc.d conf=/etc/postgresql-common/createcluster.conf made_policy='' rc=0
  # Debian starts a service as it installs it, and makes a Postgres cluster on port 5432; both are prevented by its own switches.
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"; made_policy=1
  fi
  if [[ " $* " == *" postgresql "* && ! -e $conf ]]; then
    as_root mkdir -p "${conf%/*}"
    echo 'create_main_cluster = false' | as_root tee "$conf" >/dev/null
  fi
  {
    as_root apt-get update -qq &&
      as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=300 "$@"
  } </dev/null >"$log" 2>&1 || rc=$?
  [[ -z $made_policy ]] || as_root rm -f "$policy"
  if ((rc)); then tail -n 20 "$log" >&2; die "apt could not install: $* (all of it: $log)"; fi
  if [[ " $* " == *" redis-server "* ]] && have systemctl; then
    as_root systemctl disable --quiet redis-server >/dev/null 2>&1 || true
  fi
  hash -r
}
