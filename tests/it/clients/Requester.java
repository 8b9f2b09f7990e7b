// Asks over Kafka as a Spring application does: the Java client's own partitioner, and the three
// headers of ReplyingKafkaTemplate. Prints the partition the record went to, then the reply.

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Requester {
    public static void main(String[] args) throws Exception {
        String bootstrap = args[0], commands = args[1], replies = args[2], key = args[3], value = args[4];
        UUID id = UUID.randomUUID();
        byte[] correlation = ByteBuffer.allocate(16)
            .putLong(id.getMostSignificantBits()).putLong(id.getLeastSignificantBits()).array();
        TopicPartition inbox = new TopicPartition(replies, 1);
        Map<String, Object> common = Map.of("bootstrap.servers", bootstrap);
        try (var consumer = new KafkaConsumer<>(common, new StringDeserializer(), new ByteArrayDeserializer());
             var producer = new KafkaProducer<>(common, new StringSerializer(), new ByteArraySerializer())) {
            consumer.assign(List.of(inbox));
            consumer.seekToEnd(List.of(inbox));
            consumer.position(inbox);
            var record = new ProducerRecord<>(commands, key, value.getBytes(StandardCharsets.UTF_8));
            record.headers()
                .add("kafka_correlationId", correlation)
                .add("kafka_replyTopic", replies.getBytes(StandardCharsets.UTF_8))
                .add("kafka_replyPartition", ByteBuffer.allocate(4).putInt(inbox.partition()).array());
            System.out.println(producer.send(record).get().partition());
            long end = System.nanoTime() + Duration.ofSeconds(30).toNanos();
            while (System.nanoTime() < end) {
                for (ConsumerRecord<String, byte[]> reply : consumer.poll(Duration.ofMillis(200))) {
                    var echoed = reply.headers().lastHeader("kafka_correlationId");
                    if (echoed != null && Arrays.equals(echoed.value(), correlation)) {
                        System.out.println(new String(reply.value(), StandardCharsets.UTF_8));
                        return;
                    }
                }
            }
        }
        System.exit(1);
    }
}
