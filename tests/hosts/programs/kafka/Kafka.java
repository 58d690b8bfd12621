import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;

/** Sends messages, compressed, and reads them in a group. */
public class Kafka {
	public static void main(String[] args) throws Exception {
		String topic = args[1];
		int count = Integer.parseInt(args[2]), got = 0;
		Properties p = new Properties();

		p.put("bootstrap.servers", args[0]);
		p.put("client.id", "shop");
		p.put("group.id", "workers-" + topic);
		p.put("linger.ms", "20");
		p.put("compression.type", "gzip");
		p.put("auto.offset.reset", "earliest");
		p.put("enable.auto.commit", "false");
		for (String what : List.of("key", "value")) {
			p.put(what + ".serializer", "org.apache.kafka.common.serialization.StringSerializer");
			p.put(what + ".deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
		}
		try (var producer = new KafkaProducer<String, String>(p)) {
			for (int i = 0; i < count; i++)
				producer.send(new ProducerRecord<>(topic, "hunter2", "hunter2 " + i));
			producer.flush();
		}
		try (var consumer = new KafkaConsumer<String, String>(p)) {
			consumer.subscribe(List.of(topic));
			while (got < count)
				got += consumer.poll(Duration.ofSeconds(1)).count();
			consumer.poll(Duration.ofMillis(700));
			consumer.commitSync();
		}
		System.out.println(got);
	}
}
