# shellcheck shell=bash
# Kafka's own command-line tools against the running broker, under the names of their scripts without "kafka-".

command_kafka() {
  local tool=${1:-} class
  [[ -n $tool ]] || die "usage: ./dev kafka $(kafka_tools | cut -d' ' -f1 | paste -sd'|') ARGS..."
  shift
  class=$(kafka_tools | sed -n "s/^$tool //p")
  [[ -n $class ]] || die "no such Kafka tool: $tool (there are: $(kafka_tools | cut -d' ' -f1 | paste -sd' '))"
  { known_home && load_ports && stack_alive; } || die "no broker runs in $HOME_DIR; './dev run' starts one"
  need_kafka
  install_wanted
  kafka_fetch
  [[ $tool == dump-log || " $* " == *" --help "* ]] || set -- --bootstrap-server "127.0.0.1:${PORT[kafka]}" "$@"
  kafka_java "$class" "$@"
}

kafka_tools() {
  cat <<'TABLE'
topics org.apache.kafka.tools.TopicCommand
groups org.apache.kafka.tools.consumer.group.ConsumerGroupCommand
configs kafka.admin.ConfigCommand
offsets org.apache.kafka.tools.GetOffsetShell
console-producer org.apache.kafka.tools.ConsoleProducer
console-consumer org.apache.kafka.tools.consumer.ConsoleConsumer
producer-perf org.apache.kafka.tools.ProducerPerformance
consumer-perf org.apache.kafka.tools.ConsumerPerformance
delete-records org.apache.kafka.tools.DeleteRecordsCommand
log-dirs org.apache.kafka.tools.LogDirsCommand
dump-log org.apache.kafka.tools.DumpLogSegments
TABLE
}
