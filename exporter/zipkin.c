/* OTEL_TRACES_EXPORTER=zipkin: v2 JSON, posted. */
#define OA_LOG_DOMAIN "zipkin"
#include <errno.h>

#include "core/config.h"
#include "core/log.h"
#include "exporter/exporter.h"
#include "exporter/ship.h"
#include "exporter/zipkin_json.h"

static struct oa_ship *zipkin_ship;
static char *zipkin_text; /* of the batch under way */

static int zipkin_open(void)
{
	static const char *const headers[] = { "Content-Type: application/json", NULL };
	struct oa_endpoint to;
	const char *wrong = oa_endpoint_parse(&to, oa_config.zipkin_endpoint, OA_PATH_AS_IS, "api/v2/spans");
	const struct oa_post_config post = {
		.what = "Zipkin", .to = &to, .headers = headers, .user_agent = OA_USER_AGENT,
		.timeout_ms = (uint64_t)oa_config.zipkin_timeout,
	};
	const struct oa_ship_config config = { .post = &post, .spool_kind = "zipkin" };

	if (!wrong)
		return oa_ship_open(&config, &zipkin_ship);
	oa_warn("OTEL_EXPORTER_ZIPKIN_ENDPOINT %s: no traces are sent", wrong);
	return -EINVAL;
}

static void zipkin_send(const struct oa_batch *batch, uint64_t deadline_ns, oa_batch_done_fn *done, void *arg)
{
	struct oa_shipment shipment = { .left_out = batch->count };

	oa_zipkin_json_free(zipkin_text);
	zipkin_text = oa_zipkin_json(batch);
	if (zipkin_text)
		shipment = (struct oa_shipment){ .body = oa_bytes_str(zipkin_text), .count = batch->count };
	oa_ship_send(zipkin_ship, &shipment, deadline_ns, done, arg);
}

static void zipkin_cancel(void) { oa_ship_cancel(zipkin_ship); }

static void zipkin_forget(void)
{
	zipkin_ship = NULL;
	oa_ship_forget();
	zipkin_text = NULL;
	oa_zipkin_json_forget();
}

const struct oa_exporter oa_exporter_zipkin = {
	.name = "zipkin", .open = zipkin_open, .send = zipkin_send, .cancel = zipkin_cancel, .forget = zipkin_forget,
};
