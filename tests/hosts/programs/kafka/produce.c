/* Sends messages by each of librdkafka's functions that do, and says what came of them.
 *
 *   produce BROKER TOPIC          by all of them; some cannot be sent
 *   produce BROKER TOPIC refused  a client that cannot be made, twice with the same configuration
 *   produce BROKER TOPIC own      with interceptors of its own */
#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST 4000 /* message.max.bytes */

static int delivered, failed, intercepted;

static void on_delivery(rd_kafka_t *client, const rd_kafka_message_t *m, void *arg)
{
	(void)client, (void)arg;
	if (m->err)
		failed++;
	else
		delivered++;
}

static rd_kafka_conf_t *conf_of(const char *broker)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char error[256], largest[16];

	snprintf(largest, sizeof(largest), "%d", LARGEST);
	if (rd_kafka_conf_set(conf, "bootstrap.servers", broker, error, sizeof(error)) ||
	    rd_kafka_conf_set(conf, "client.id", "shop", error, sizeof(error)) ||
	    rd_kafka_conf_set(conf, "linger.ms", "20", error, sizeof(error)) ||
	    rd_kafka_conf_set(conf, "partitioner", "consistent", error, sizeof(error)) ||
	    rd_kafka_conf_set(conf, "message.max.bytes", largest, error, sizeof(error)))
		exit(2);
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	return conf;
}

static void batch(rd_kafka_topic_t *topic)
{
	rd_kafka_message_t m[3] = { { .payload = "batch 1", .len = 7 }, { .payload = "batch 2", .len = 7, .key = "k", .key_len = 1 },
				    { .payload = "batch 3", .len = 7, .partition = 99 } };

	printf("batch %d\n", rd_kafka_produce_batch(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, m, 2));
	m[0].partition = 0;
	printf("batch %d", rd_kafka_produce_batch(topic, 0, RD_KAFKA_MSG_F_COPY | RD_KAFKA_MSG_F_PARTITION, m, 3));
	printf(" %d %d %d\n", m[0].err, m[1].err, m[2].err);
}

static void vu(rd_kafka_t *client, const char *name)
{
	rd_kafka_vu_t v[4] = { { .vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = name }, { .vtype = RD_KAFKA_VTYPE_VALUE },
			       { .vtype = RD_KAFKA_VTYPE_HEADER }, { .vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY } };
	rd_kafka_error_t *error;

	v[1].u.mem.ptr = "produceva";
	v[1].u.mem.size = 9;
	v[2].u.header.name = "h";
	v[2].u.header.val = "hunter2";
	v[2].u.header.size = 7;
	error = rd_kafka_produceva(client, v, 4);
	printf("produceva %s\n", error ? rd_kafka_error_string(error) : "well");
}

/* A list of headers that is the program's again when its message is refused. */
static void refused_list(rd_kafka_t *client, const char *name)
{
	rd_kafka_headers_t *list = rd_kafka_headers_new(1);

	rd_kafka_header_add(list, "h", -1, "hunter2", -1);
	printf("refused %d\n", rd_kafka_producev(client, RD_KAFKA_V_TOPIC(name), RD_KAFKA_V_PARTITION(99), RD_KAFKA_V_HEADERS(list),
						 RD_KAFKA_V_VALUE("refused", 7), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END));
	rd_kafka_headers_destroy(list);
}

static void many_headers(rd_kafka_t *client, const char *name)
{
	rd_kafka_headers_t *list = rd_kafka_headers_new(100);

	for (int i = 0; i < 100; i++)
		rd_kafka_header_add(list, "i", -1, "", 0);
	printf("many %d\n", rd_kafka_producev(client, RD_KAFKA_V_TOPIC(name), RD_KAFKA_V_HEADERS(list), RD_KAFKA_V_VALUE("many", 4),
					      RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END));
}

static void by_all(rd_kafka_t *client, const char *name)
{
	static char large[LARGEST - 200];
	rd_kafka_topic_t *topic = rd_kafka_topic_new(client, name, NULL);

	printf("produce %d", rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, "produce", 7, "key", 3, NULL));
	printf(" %d %d\n", errno, rd_kafka_last_error());
	printf("null %d\n", rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, 0, NULL, 0, "key", 3, NULL));
	printf("producev %d\n", rd_kafka_producev(client, RD_KAFKA_V_RKT(topic), RD_KAFKA_V_VALUE("producev", 8),
						  RD_KAFKA_V_HEADER("h", "hunter2", 7), RD_KAFKA_V_HEADER("n", NULL, 0),
						  RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END));
	printf("own %d\n", rd_kafka_producev(client, RD_KAFKA_V_TOPIC(name), RD_KAFKA_V_VALUE("own", 3), RD_KAFKA_V_HEADER("traceparent",
					     "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", 55), RD_KAFKA_V_END));
	vu(client, name);
	rd_kafka_flush(client, 10000);
	batch(topic);
	refused_list(client, name);
	many_headers(client, name);
	memset(large, 'x', sizeof(large));
	printf("large %d\n", rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, large, sizeof(large), NULL, 0, NULL));
	printf("too large %d", rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, large, LARGEST + 1, NULL, 0, NULL));
	printf(" %d %d\n", errno, rd_kafka_last_error());
	rd_kafka_flush(client, 10000);
	rd_kafka_topic_destroy(topic);
}

static rd_kafka_resp_err_t own_send(rd_kafka_t *client, rd_kafka_message_t *m, void *arg)
{
	(void)client, (void)m, (void)arg;
	intercepted++;
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t own_new(rd_kafka_t *client, const rd_kafka_conf_t *conf, void *arg, char *error, size_t bytes)
{
	(void)conf, (void)arg, (void)error, (void)bytes;
	return rd_kafka_interceptor_add_on_send(client, "own", own_send, NULL);
}

static int refused(rd_kafka_conf_t *conf)
{
	char error[512];

	if (rd_kafka_conf_set(conf, "security.protocol", "ssl", error, sizeof(error)) ||
	    rd_kafka_conf_set(conf, "ssl.ca.location", "/nowhere", error, sizeof(error)))
		return 2;
	for (int i = 0; i < 2; i++)
		printf("%s", rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof(error)) ? "made\n" : "refused\n");
	rd_kafka_conf_destroy(conf);
	return 0;
}

int main(int argc, char **argv)
{
	rd_kafka_conf_t *conf = conf_of(argv[1]);
	char error[512];
	rd_kafka_t *client;

	if (argc > 3 && strcmp(argv[3], "refused") == 0)
		return refused(conf);
	if (argc > 3 && strcmp(argv[3], "own") == 0)
		rd_kafka_conf_interceptor_add_on_new(conf, "own", own_new, NULL);
	client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof(error));
	if (!client)
		return 3;
	by_all(client, argv[2]);
	rd_kafka_destroy(client);
	printf("%d delivered, %d failed, %d intercepted\n", delivered, failed, intercepted);
	return 0;
}
