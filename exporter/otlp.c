/* OTEL_TRACES_EXPORTER=otlp: OTLP over HTTP, in protobuf or JSON, or gRPC. Encoding is otlp_pb.c's and otlp_json.c's,
 * delivery ship.c's; otlp_channel.c knows the settings, and this file which belongs to which. */
#define OA_LOG_DOMAIN "otlp"
#include <errno.h>

#include "core/log.h"
#include "exporter/exporter.h"
#include "exporter/gzip.h"
#include "exporter/otlp_channel.h"
#include "exporter/otlp_json.h"
#include "exporter/otlp_pb.h"
#include "exporter/otlp_resource.h"
#include "exporter/otlp_response.h"
#include "exporter/ship.h"

#define OTLP_JSON_KEEP (1u << 20)

static struct oa_otlp_channel otlp_to;
static struct oa_ship *otlp_ship;
static struct oa_otlp_buf otlp_buf;
static struct oa_json otlp_json;
static struct oa_gzip_buf otlp_gzip;

static uint64_t otlp_rejected(struct oa_bytes body, char text[OA_SHIP_TEXT_MAX])
{
	return oa_otlp_read_success(body, otlp_to.protocol == OA_OTLP_JSON, text);
}

static void otlp_error(struct oa_bytes body, char text[OA_SHIP_TEXT_MAX])
{
	oa_otlp_read_error(body, otlp_to.protocol == OA_OTLP_JSON, text);
}

static int otlp_open(void)
{
	struct oa_ship_config config = { .post = &otlp_to.post, .rejected = otlp_rejected, .error = otlp_error };
	int err = oa_otlp_channel(OA_OTLP_TRACES, &otlp_to);

	config.spool_kind = otlp_to.protocol == OA_OTLP_JSON ? "otlp-json" : "otlp-pb";

	if (!err)
		err = oa_ship_open(&config, &otlp_ship);
	if (!err)
		oa_dbg("sending to %s", otlp_to.to.shown);
	return err;
}

/* returns spans encoded, or -errno */
static long otlp_encode(const struct oa_batch *batch, struct oa_bytes *ret_body)
{
	struct oa_bytes resource;

	if (otlp_to.protocol == OA_OTLP_JSON)
		return oa_otlp_json_request(&otlp_json, batch, OA_OTLP_JSON_MAX, ret_body);
	resource = oa_otlp_resource(&batch->who);
	return resource.ptr ? oa_otlp_pb_request(&otlp_buf, batch, resource, OA_OTLP_REQUEST_MAX, ret_body) : -ENOMEM;
}

static void otlp_send(const struct oa_batch *batch, uint64_t deadline_ns, oa_batch_done_fn *done, void *arg)
{
	struct oa_shipment shipment = { .gzip = otlp_to.gzip };
	long count;

	oa_json_trim(&otlp_json, OTLP_JSON_KEEP);
	count = otlp_encode(batch, &shipment.body);
	if (count > 0 && otlp_to.gzip && oa_gzip(&otlp_gzip, shipment.body, &shipment.body))
		count = -ENOMEM;
	shipment.count = count > 0 ? (size_t)count : 0;
	shipment.left_out = batch->count - shipment.count;
	oa_ship_send(otlp_ship, &shipment, deadline_ns, done, arg);
}

static void otlp_cancel(void) { oa_ship_cancel(otlp_ship); }

static void otlp_forget(void)
{
	otlp_ship = NULL;
	oa_ship_forget();
	otlp_buf = (struct oa_otlp_buf){ 0 };
	otlp_json = (struct oa_json){ 0 };
	otlp_gzip = (struct oa_gzip_buf){ 0 };
	oa_otlp_resource_forget();
	oa_gzip_forget();
}

const struct oa_exporter oa_exporter_otlp = {
	.name = "otlp", .open = otlp_open, .send = otlp_send, .cancel = otlp_cancel, .forget = otlp_forget,
};
