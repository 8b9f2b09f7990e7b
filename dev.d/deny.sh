# shellcheck shell=bash
# cargo-deny, which checks the dependencies by deny.toml: where it is installed, and in CI in any case.

DENY_DIR=$CACHE/cargo-deny-$CARGO_DENY_VERSION

# Licences, sources and bans of what Cargo.lock names, by deny.toml.
check_dependencies() {
  local deny
  if ! deny=$(deny_program); then
    say "dependencies are not checked by deny.toml: 'cargo install --locked cargo-deny' would give the tool"
    return 0
  fi
  (cd "$ROOT" && "$deny" --workspace --locked --log-level error check bans licenses sources) || die "a dependency is not what deny.toml allows"
  say "the dependencies are what deny.toml allows: bans, licences, sources ($("$deny" --version))"
}

# The one of the pinned version in the cache, or else whatever is installed.
deny_program() {
  if [[ -x $DENY_DIR/bin/cargo-deny ]]; then echo "$DENY_DIR/bin/cargo-deny"; else command -v cargo-deny; fi
}

# Built once into the cache; nothing the second time. Half a build is never left there under the program's name.
deny_fetch() {
  [[ ! -x $DENY_DIR/bin/cargo-deny ]] || return 0
  local log=$HOME_DIR/logs/cargo-deny.log
  say "building cargo-deny $CARGO_DENY_VERSION into $DENY_DIR (some minutes, once)"
  mkdir -p "$DENY_DIR"
  (cd "$ROOT" && foreground cargo install --quiet --locked --version "$CARGO_DENY_VERSION" --root "$DENY_DIR" \
    --target-dir "$HOME_DIR/cargo-deny" cargo-deny) >"$log" 2>&1 || { tail -n 20 "$log" >&2; die "cargo-deny could not be built (all of it: $log)"; }
  rm -rf "$HOME_DIR/cargo-deny"
}
