/* OTEL_TRACES_EXPORTER=jaeger: Thrift, either in its binary form over HTTP to a collector, or in its compact form over UDP
 * to an agent. Encoding is jaeger_thrift.c's, the datagrams are jaeger_agent.c's. */
#define OA_LOG_DOMAIN "jaeger"
#include <errno.h>

#include "core/config.h"
#include "core/log.h"
#include "exporter/exporter.h"
#include "exporter/jaeger_agent.h"
#include "exporter/jaeger_thrift.h"
#include "exporter/ship.h"

#define JAEGER_HEADER_MAX 1024

static bool jaeger_udp;
static struct oa_ship *jaeger_ship;
static struct oa_thrift jaeger_out;

static bool jaeger_is_set(const char *text) { return text && *text; }

/* By the setting, else by what else is set. */
static bool jaeger_wants_udp(void)
{
	if (oa_config.jaeger_protocol >= 0)
		return oa_config.jaeger_protocol == 1;
	return jaeger_is_set(oa_config.jaeger_agent_host) && !jaeger_is_set(oa_config.jaeger_endpoint);
}

static size_t jaeger_base64(char *to, struct oa_bytes in)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *start = to;

	for (size_t i = 0; i < in.len; i += 3) {
		uint32_t bits = (uint32_t)in.ptr[i] << 16;
		size_t left = in.len - i;

		bits |= left > 1 ? (uint32_t)in.ptr[i + 1] << 8 : 0;
		bits |= left > 2 ? in.ptr[i + 2] : 0u;
		*to++ = digits[bits >> 18];
		*to++ = digits[bits >> 12 & 63];
		*to++ = left > 1 ? digits[bits >> 6 & 63] : '=';
		*to++ = left > 2 ? digits[bits & 63] : '=';
	}
	*to = '\0';
	return (size_t)(to - start);
}

/* "Authorization: Basic …", NULL without a user or when it is too long. */
static const char *jaeger_authorization(char line[JAEGER_HEADER_MAX])
{
	const char *user = oa_config.jaeger_user, *password = oa_config.jaeger_password;
	char pair[JAEGER_HEADER_MAX / 2], *to = line;

	if (!jaeger_is_set(user) || strlen(user) + strlen(password) + 2 > sizeof(pair))
		return NULL;
	to = stpcpy(to, "Authorization: Basic ");
	(void)stpcpy(stpcpy(stpcpy(pair, user), ":"), password);
	(void)jaeger_base64(to, oa_bytes_str(pair));
	return line;
}

static int jaeger_open_http(void)
{
	static char line[JAEGER_HEADER_MAX]; /* copied by oa_post_open() */
	const char *headers[3] = { "Content-Type: application/vnd.apache.thrift.binary", jaeger_authorization(line), NULL };
	const char *setting = jaeger_is_set(oa_config.jaeger_endpoint) ? oa_config.jaeger_endpoint
									: "http://localhost:14268/api/traces";
	struct oa_endpoint to;
	const char *wrong = oa_endpoint_parse(&to, setting, OA_PATH_AS_IS, "api/traces");
	const struct oa_post_config post = {
		.what = "Jaeger", .to = &to, .headers = headers, .user_agent = OA_USER_AGENT,
		.timeout_ms = (uint64_t)oa_config.jaeger_timeout,
	};
	const struct oa_ship_config config = { .post = &post, .spool_kind = "jaeger" };

	if (!wrong)
		return oa_ship_open(&config, &jaeger_ship);
	oa_warn("OTEL_EXPORTER_JAEGER_ENDPOINT %s: no traces are sent", wrong);
	return -EINVAL;
}

static int jaeger_open(void)
{
	jaeger_udp = jaeger_wants_udp();
	return jaeger_udp ? oa_jaeger_agent_open() : jaeger_open_http();
}

static void jaeger_send(const struct oa_batch *batch, uint64_t deadline_ns, oa_batch_done_fn *done, void *arg)
{
	struct oa_shipment shipment = { .left_out = batch->count };

	if (jaeger_udp) {
		oa_jaeger_agent_send(batch, deadline_ns, done, arg);
		return;
	}
	oa_thrift_reset(&jaeger_out, false);
	oa_jaeger_batch(&jaeger_out, batch);
	if (!jaeger_out.failed)
		shipment = (struct oa_shipment){ .body = oa_bytes(jaeger_out.mem, jaeger_out.len), .count = batch->count };
	oa_ship_send(jaeger_ship, &shipment, deadline_ns, done, arg);
}

static void jaeger_cancel(void)
{
	if (jaeger_udp)
		oa_jaeger_agent_cancel();
	else
		oa_ship_cancel(jaeger_ship);
}

static void jaeger_forget(void)
{
	jaeger_ship = NULL;
	oa_ship_forget();
	jaeger_out = (struct oa_thrift){ 0 };
	oa_jaeger_thrift_forget();
	oa_jaeger_agent_forget();
}

const struct oa_exporter oa_exporter_jaeger = {
	.name = "jaeger", .open = jaeger_open, .send = jaeger_send, .cancel = jaeger_cancel, .forget = jaeger_forget,
};
