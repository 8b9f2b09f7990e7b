# shellcheck shell=bash
# Apache Kafka: one KRaft node, from its published jars.

KAFKA_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/steelyard
KAFKA_JARS=$KAFKA_CACHE/kafka-$KAFKA_VERSION
KAFKA_CLASSPATH="$KAFKA_JARS/*"

kafka_jars_complete() { [[ -f $KAFKA_JARS/kafka_$SCALA_VERSION-$KAFKA_VERSION.jar ]]; }

# Downloads into a directory of its own, then renames: whoever comes second finds it complete or not at all.
kafka_fetch() {
  kafka_jars_complete && return 0
  say "downloading Kafka $KAFKA_VERSION as jars (45 MB, once) to $KAFKA_JARS"
  mkdir -p "$KAFKA_CACHE"
  local part log=$HOME_DIR/logs/maven.log
  part=$(mktemp -d "$KAFKA_CACHE/part.XXXXXX")
  cp "$DEV_D/kafka/pom.xml" "$part/pom.xml"
  if ! (cd "$part" && mvn -q -B -ntp -Dstyle.color=never -Dkafka.version="$KAFKA_VERSION" -Dscala.version="$SCALA_VERSION" \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$part/jars") </dev/null >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -rf "$part"
    die "Maven could not download Kafka (all of it: $log)"
  fi
  chmod 755 "$part/jars"
  mv -T "$part/jars" "$KAFKA_JARS" 2>/dev/null || kafka_jars_complete || die "could not move Kafka's jars to $KAFKA_JARS"
  rm -rf "$part"
}

kafka_java() { java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.awt.headless=true \
  -Dlog4j2.configurationFile="$DEV_D/kafka/log4j2-tools.properties" -cp "$KAFKA_CLASSPATH" "$@"; }

kafka_start() {
  local dir=$HOME_DIR/kafka began
  alive kafka && return 0
  began=$(now_ms)
  mkdir -p "$dir"
  kafka_properties >"$dir/server.properties"
  if [[ ! -f $dir/data/meta.properties ]]; then
    local id
    id=$(head -c 16 /dev/urandom | base64 | tr '+/' 'AB' | tr -d '=\n')
    kafka_java kafka.tools.StorageTool format --ignore-formatted -t "$id" -c "$dir/server.properties" \
      </dev/null >"$HOME_DIR/logs/kafka-format.log" 2>&1 || { cat "$HOME_DIR/logs/kafka-format.log" >&2; die "Kafka's storage could not be formatted"; }
  fi
  # shellcheck disable=SC2086
  spawn kafka java ${STEELYARD_KAFKA_HEAP:--Xms512m -Xmx1g} -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:+ExplicitGCInvokesConcurrent \
    -Djava.awt.headless=true -Dlog4j2.configurationFile="$DEV_D/kafka/log4j2.properties" \
    -cp "$KAFKA_CLASSPATH" kafka.Kafka "$dir/server.properties"
  await_ready kafka 90 kafka_answers || die "Kafka did not start"
  started kafka "$began" "127.0.0.1:${PORT[kafka]}"
}

kafka_stop() { stop_process kafka 20 TERM; }

# A Metadata request (version 4, no topics) by hand. The answer lists the brokers that are registered and not fenced:
# with one in it, Kafka serves. A JVM tool would ask the same in two seconds.
kafka_answers() {
  local answer bytes
  answer=$( (
    exec 3<>"/dev/tcp/127.0.0.1/${PORT[kafka]}" || exit 1
    printf '\0\0\0\x0f\0\x03\0\x04\0\0\0\x07\xff\xff\0\0\0\0\0' >&3
    timeout 2 head -c 16 <&3 | od -An -v -tu1 | tr -s ' \n' ' '
  ) 2>/dev/null) || return 1
  read -ra bytes <<<"$answer" # length(4) correlation(4) throttle(4) brokers(4)
  ((${#bytes[@]} == 16 && bytes[15] >= 1))
}

kafka_properties() {
  cat <<PROPERTIES
# Written by ./dev at every start.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:${PORT[controller]}
listeners=PLAINTEXT://127.0.0.1:${PORT[kafka]},CONTROLLER://127.0.0.1:${PORT[controller]}
advertised.listeners=PLAINTEXT://127.0.0.1:${PORT[kafka]}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$HOME_DIR/kafka/data
$(cat "$DEV_D/kafka/server.properties")
PROPERTIES
}
