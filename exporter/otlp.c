/* OTEL_TRACES_EXPORTER=otlp: OTLP over HTTP, protobuf. Encoding is otlp_pb.c's, delivery http_post.c's; this file
 * knows the settings and what the answers mean. */
#define OA_LOG_DOMAIN "otlp"
#include <errno.h>

#include "core/config.h"
#include "core/log.h"
#include "exporter/endpoint.h"
#include "exporter/exporter.h"
#include "exporter/gzip.h"
#include "exporter/header_list.h"
#include "exporter/http_post.h"
#include "exporter/otlp_pb.h"
#include "exporter/otlp_resource.h"
#include "exporter/otlp_response.h"

#define OTLP_REQUEST_MAX (64u << 20) /* OTLP: larger ones are not to be sent */
#define OTLP_HEADERS_MAX 64
#define OTLP_HEADER_TEXT_MAX 16384
#define OTLP_CONTENT_TYPE "Content-Type: application/x-protobuf"

static struct oa_post *otlp_post;
static bool otlp_gzip;
static struct oa_otlp_buf otlp_buf;

static struct {
	bool active;
	size_t count; /* spans in the request */
	size_t left_out;
	oa_batch_done_fn *done;
	void *arg;
} otlp_flight;

/* -- settings -- */

static const char *otlp_setting(const char *traces, const char *general)
{
	return traces && *traces ? traces : general;
}

static int otlp_endpoint(struct oa_endpoint *ret)
{
	bool own = oa_config.otlp_traces_endpoint && *oa_config.otlp_traces_endpoint;
	const char *wrong = oa_endpoint_parse(ret, own ? oa_config.otlp_traces_endpoint : oa_config.otlp_endpoint, !own,
					      "v1/traces");

	if (!wrong)
		return 0;
	oa_warn("%s %s: no traces are sent",
		own ? "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" : "OTEL_EXPORTER_OTLP_ENDPOINT", wrong);
	return -EINVAL;
}

/* Never prints what it reads: values are secrets. */
static void otlp_headers(const char *lines[OTLP_HEADERS_MAX], char text[OTLP_HEADER_TEXT_MAX])
{
	bool own = oa_config.otlp_traces_headers && *oa_config.otlp_traces_headers;
	const char *pos = own ? oa_config.otlp_traces_headers : oa_config.otlp_headers;
	static char line[OA_HEADER_LINE_MAX];
	unsigned count = 0, skipped = 0;
	size_t used = 0;
	int got;

	lines[count++] = OTLP_CONTENT_TYPE;
	while (pos && (got = oa_header_list_next(&pos, line)) != 0) {
		size_t len = got > 0 ? strlen(line) + 1 : 0;

		if (!len || count == OTLP_HEADERS_MAX - 1 || len > OTLP_HEADER_TEXT_MAX - used) {
			skipped++;
			continue;
		}
		memcpy(text + used, line, len);
		lines[count++] = text + used;
		used += len;
	}
	lines[count] = NULL;
	if (skipped)
		oa_warn("%s: %u members are malformed or not ours to set, and skipped",
			own ? "OTEL_EXPORTER_OTLP_TRACES_HEADERS" : "OTEL_EXPORTER_OTLP_HEADERS", skipped);
}

static int otlp_open(void)
{
	static const char *lines[OTLP_HEADERS_MAX]; /* copied by oa_post_open */
	static char text[OTLP_HEADER_TEXT_MAX];
	struct oa_endpoint to;
	struct oa_post_config config = {
		.what = "OTLP traces", .to = &to, .headers = lines,
		.ca_file = otlp_setting(oa_config.otlp_traces_certificate, oa_config.otlp_certificate),
		.cert_file = otlp_setting(oa_config.otlp_traces_client_certificate, oa_config.otlp_client_certificate),
		.key_file = otlp_setting(oa_config.otlp_traces_client_key, oa_config.otlp_client_key),
		.timeout_ms = (uint64_t)(oa_config.otlp_traces_timeout >= 0 ? oa_config.otlp_traces_timeout
									    : oa_config.otlp_timeout),
	};
	int compression = oa_config.otlp_traces_compression, err = otlp_endpoint(&to);

	if (err)
		return err;
	otlp_gzip = (compression >= 0 ? compression : oa_config.otlp_compression) == 1;
	otlp_headers(lines, text);
	err = oa_post_open(&config, &otlp_post);
	if (!err)
		oa_dbg("sending to %s", to.shown);
	return err;
}

/* -- a batch -- */

static void otlp_settle(size_t ok, size_t rejected, size_t failed)
{
	otlp_flight.active = false;
	otlp_flight.done(otlp_flight.arg, ok, rejected, failed + otlp_flight.left_out);
}

static void otlp_on_success(struct oa_bytes body)
{
	struct oa_otlp_answer answer;

	oa_otlp_read_success(body, &answer);
	if (answer.rejected > otlp_flight.count)
		answer.rejected = otlp_flight.count;
	if (answer.rejected || answer.message[0])
		oa_info("the collector rejected %u of %u spans: %s", (unsigned)answer.rejected,
			(unsigned)otlp_flight.count, answer.message);
	otlp_settle(otlp_flight.count - answer.rejected, answer.rejected, 0);
}

static void otlp_on_done(void *arg, const struct oa_post_result *result)
{
	struct oa_otlp_answer answer;

	(void)arg;
	if (result->end == OA_POST_OK) {
		otlp_on_success(result->body);
		return;
	}
	oa_otlp_read_error(result->body, &answer);
	oa_info("%u spans could not be sent: %s (status %u) %s", (unsigned)otlp_flight.count, result->why, result->status,
		answer.message);
	otlp_settle(0, 0, otlp_flight.count);
}

/* returns spans encoded, or -errno */
static long otlp_encode(const struct oa_batch *batch, struct oa_bytes *ret_body)
{
	struct oa_bytes resource = oa_otlp_resource(&batch->who);
	long count = resource.ptr ? oa_otlp_pb_request(&otlp_buf, batch, resource, OTLP_REQUEST_MAX, ret_body) : -ENOMEM;

	if (count > 0 && otlp_gzip && oa_gzip(*ret_body, ret_body))
		return -ENOMEM;
	return count;
}

static void otlp_send(const struct oa_batch *batch, uint64_t deadline_ns, oa_batch_done_fn *done, void *arg)
{
	struct oa_bytes body;
	long count = otlp_encode(batch, &body);

	otlp_flight.done = done;
	otlp_flight.arg = arg;
	otlp_flight.active = true;
	otlp_flight.count = count > 0 ? (size_t)count : 0;
	otlp_flight.left_out = batch->count - otlp_flight.count;
	if (otlp_flight.left_out)
		oa_info("%u spans were left out: no memory, or more than fits a request", (unsigned)otlp_flight.left_out);
	if (count > 0)
		oa_post_send(otlp_post, body, otlp_gzip, deadline_ns, otlp_on_done, NULL);
	else
		otlp_settle(0, 0, 0);
}

static void otlp_cancel(void)
{
	if (!otlp_flight.active)
		return;
	oa_post_cancel(otlp_post);
	otlp_settle(0, 0, otlp_flight.count);
}

static void otlp_forget(void)
{
	otlp_post = NULL;
	otlp_buf = (struct oa_otlp_buf){ 0 };
	otlp_flight.active = false;
	oa_otlp_resource_forget();
	oa_gzip_forget();
}

const struct oa_exporter oa_exporter_otlp = {
	.name = "otlp", .open = otlp_open, .send = otlp_send, .cancel = otlp_cancel, .forget = otlp_forget,
};
