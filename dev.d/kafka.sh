# shellcheck shell=bash
# Apache Kafka: one KRaft node, or three (STEELYARD_BROKERS=3 when a directory is first used), from its published jars.

KAFKA_JARS=$CACHE/kafka-$KAFKA_VERSION
KAFKA_CLASSPATH="$KAFKA_JARS/*"

kafka_jars_complete() { [[ -f $KAFKA_JARS/kafka_$SCALA_VERSION-$KAFKA_VERSION.jar ]]; }

# Downloads into a directory of its own, then renames: whoever comes second finds it complete or not at all.
kafka_fetch() {
  kafka_jars_complete && return 0
  say "downloading Kafka $KAFKA_VERSION as jars (45 MB, once) to $KAFKA_JARS"
  mkdir -p "$CACHE"
  local part log=$HOME_DIR/logs/maven.log
  part=$(mktemp -d "$CACHE/part.XXXXXX")
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

# The nodes of this directory, by the names of their pid files.
kafka_nodes() {
  [[ -s $HOME_DIR/brokers ]] || echo "${STEELYARD_BROKERS:-1}" >"$HOME_DIR/brokers"
  if [[ $(cat "$HOME_DIR/brokers") == 3 ]]; then echo kafka kafka2 kafka3; else echo kafka; fi
}
kafka_number() { local number=${1#kafka}; echo "${number:-1}"; }
kafka_controller() { echo "controller${1#kafka}"; }
kafka_alive() { local node; for node in $(kafka_nodes); do alive "$node" || return 1; done; }
kafka_brokers() { local node all=''; for node in $(kafka_nodes); do all+=${all:+,}127.0.0.1:${PORT[$node]}; done; echo "$all"; }

# One node alone is no majority: all are launched, then each is waited for.
kafka_start() {
  local node began
  kafka_alive && return 0
  began=$(now_ms)
  for node in $(kafka_nodes); do alive "$node" || kafka_launch "$node"; done
  for node in $(kafka_nodes); do await_ready "$node" 90 kafka_answers "$node" || die "Kafka did not start"; done
  started kafka "$began" "$(kafka_brokers)"
}

kafka_launch() { # NODE
  local dir=$HOME_DIR/$1 id=$HOME_DIR/cluster-id
  mkdir -p "$dir"
  kafka_properties "$1" >"$dir/server.properties"
  if [[ ! -f $dir/data/meta.properties ]]; then
    [[ -s $id ]] || head -c 16 /dev/urandom | base64 | tr '+/' 'AB' | tr -d '=\n' >"$id"
    kafka_java kafka.tools.StorageTool format --ignore-formatted -t "$(cat "$id")" -c "$dir/server.properties" \
      </dev/null >"$HOME_DIR/logs/kafka-format.log" 2>&1 || { cat "$HOME_DIR/logs/kafka-format.log" >&2; die "Kafka's storage could not be formatted"; }
  fi
  # shellcheck disable=SC2086
  spawn "$1" java ${STEELYARD_KAFKA_HEAP:--Xms512m -Xmx1g} -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:+ExplicitGCInvokesConcurrent \
    -Djava.awt.headless=true -Dlog4j2.configurationFile="$DEV_D/kafka/log4j2.properties" \
    -cp "$KAFKA_CLASSPATH" kafka.Kafka "$dir/server.properties"
}

kafka_stop() { local node; for node in $(kafka_nodes); do stop_process "$node" 20 TERM & done; wait; }

# A Metadata request (version 4, no topics) by hand. The answer lists the brokers that are registered and not fenced:
# with one in it, Kafka serves. A JVM tool would ask the same in two seconds.
kafka_answers() { # NODE
  local answer bytes
  answer=$( (
    exec 3<>"/dev/tcp/127.0.0.1/${PORT[$1]}" || exit 1
    printf '\0\0\0\x0f\0\x03\0\x04\0\0\0\x07\xff\xff\0\0\0\0\0' >&3
    timeout 2 head -c 16 <&3 | od -An -v -tu1 | tr -s ' \n' ' '
  ) 2>/dev/null) || return 1
  read -ra bytes <<<"$answer" # length(4) correlation(4) throttle(4) brokers(4)
  ((${#bytes[@]} == 16 && bytes[15] >= 1))
}

kafka_properties() { # NODE
  local controller=127.0.0.1:${PORT[$(kafka_controller "$1")]} node voters='' count=0 link='' linked=''
  for node in $(kafka_nodes); do voters+=${voters:+,}$(kafka_number "$node")@127.0.0.1:${PORT[$(kafka_controller "$node")]}; ((++count)); done
  # A broker alone has a second listener, whose clients are sent to a port of somebody else's: the fault lab's way to it.
  ((count > 1)) || { link=,LINK://127.0.0.1:${PORT[link]}; linked=,LINK://127.0.0.1:${PORT[linked]}; }
  cat <<PROPERTIES
# Written by ./dev at every start.
process.roles=broker,controller
node.id=$(kafka_number "$1")
controller.quorum.voters=$voters
listeners=PLAINTEXT://127.0.0.1:${PORT[$1]},CONTROLLER://$controller$link
advertised.listeners=PLAINTEXT://127.0.0.1:${PORT[$1]}$linked
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,LINK:PLAINTEXT
log.dirs=$HOME_DIR/$1/data
$(cat "$DEV_D/kafka/server.properties")
PROPERTIES
  ((count == 1)) || sed -n 's/^\(.*replication\.factor\)=1$/\1=3/p; s/^\(.*\(min\.insync\.replicas\|min\.isr\)\)=1$/\1=2/p' "$DEV_D/kafka/server.properties"
}
