# shellcheck shell=bash
# Python with kafka-python, for the tests that run the README's example: in a virtual environment of our own, kept
# between runs beside the other data of `./dev run`.

PYTHON_DIR=${STEELYARD_HOME:-$ROOT/.steelyard}/python
[[ $PYTHON_DIR == /* ]] || PYTHON_DIR=$PWD/$PYTHON_DIR

python_bin() { echo "$PYTHON_DIR/$KAFKA_PYTHON_VERSION/bin/python3"; }
python_complete() { "$(python_bin)" -c 'import kafka' 2>/dev/null; }
python_venv() { have python3 && python3 -c 'import ensurepip, venv' 2>/dev/null; }

# A virtual environment cannot be moved, so one that is not complete is made again where it is.
python_fetch() {
  python_complete && return 0
  local dir=$PYTHON_DIR/$KAFKA_PYTHON_VERSION log=$HOME_DIR/logs/python.log
  say "installing kafka-python $KAFKA_PYTHON_VERSION into $dir"
  mkdir -p "$PYTHON_DIR"
  rm -rf "$dir"
  { python3 -m venv "$dir" && "$dir/bin/pip" install --quiet --disable-pip-version-check "kafka-python==$KAFKA_PYTHON_VERSION"; } \
    </dev/null >"$log" 2>&1 || { tail -n 20 "$log" >&2; die "kafka-python could not be installed (all of it: $log)"; }
}
