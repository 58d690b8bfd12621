/* OTEL_TRACES_EXPORTER=otlp_file: OTLP's JSON, one request a line, into a file that is rotated by size. */
#define OA_LOG_DOMAIN "otlp_file"
#include <errno.h>

#include <event2/event.h>

#include "core/clock.h"
#include "core/config.h"
#include "core/log.h"
#include "exporter/exporter.h"
#include "exporter/file_out.h"
#include "exporter/otlp_channel.h"
#include "exporter/otlp_json.h"

#define FILE_AGAIN_MS   10
#define FILE_JSON_KEEP (1u << 20)

static struct oa_file_out file_out;
static struct oa_json file_json;
static struct event *file_timer;

static struct {
	bool active;
	size_t count, left_out;
	uint64_t deadline_ns;
	oa_batch_done_fn *done;
	void *arg;
} file_flight;
static uint64_t file_wire; /* of oa_wire_set() */

static void file_settle(bool ok)
{
	size_t count = file_flight.count;

	file_flight.active = false;
	file_flight.done(file_flight.arg, ok ? count : 0, 0, file_flight.left_out + (ok ? 0 : count));
}

static void file_try(void)
{
	const struct timeval again = { 0, FILE_AGAIN_MS * 1000 };
	int err;

	oa_wire_set(&file_wire, true);
	err = oa_file_append(&file_out, oa_bytes(file_json.mem, file_json.len));
	if (err == -EAGAIN && oa_now_ns() < file_flight.deadline_ns && evtimer_add(file_timer, &again) == 0) {
		oa_wire_set(&file_wire, false);
		return;
	}
	if (err) {
		oa_wire_set(&file_wire, false);
		oa_info("%u spans could not be written to %s: error %d", (unsigned)file_flight.count, file_out.path, -err);
	}
	file_settle(!err);
}

static void file_on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	if (file_flight.active)
		file_try();
}

/* Opened now, while the program may still write there. */
static int file_open_now(void)
{
	int err = oa_file_append(&file_out, OA_LIT(""));

	if (!err || err == -EAGAIN)
		return 0;
	oa_warn("OTELAUTO_FILE_PATH: %s cannot be written (error %d): no traces are sent", file_out.path, -err);
	return err;
}

static int otlp_file_open(void)
{
	file_out = (struct oa_file_out){ .path = oa_config.file_path, .max_bytes = (uint64_t)oa_config.file_max_bytes,
					 .keep = (unsigned)oa_config.file_keep };
	if (file_out.path[0] != '/' || strlen(file_out.path) >= OA_FILE_PATH_MAX) {
		oa_warn("OTELAUTO_FILE_PATH is no absolute path: no traces are sent to a file");
		return -EINVAL;
	}
	file_timer = evtimer_new(oa_loop_base(), file_on_timer, NULL);
	return file_timer ? file_open_now() : -ENOMEM;
}

static void otlp_file_send(const struct oa_batch *batch, uint64_t deadline_ns, oa_batch_done_fn *done, void *arg)
{
	struct oa_bytes body;
	long count;

	oa_json_trim(&file_json, FILE_JSON_KEEP);
	count = oa_otlp_json_request(&file_json, batch, OA_OTLP_JSON_MAX, &body);
	if (count > 0)
		oa_json_newline(&file_json);
	file_flight.count = count > 0 && !file_json.failed ? (size_t)count : 0;
	file_flight.left_out = batch->count - file_flight.count;
	file_flight.deadline_ns = deadline_ns;
	file_flight.done = done;
	file_flight.arg = arg;
	file_flight.active = true;
	if (file_flight.count)
		file_try();
	else
		file_settle(false);
}

static void otlp_file_cancel(void)
{
	if (!file_flight.active)
		return;
	(void)evtimer_del(file_timer);
	file_settle(false);
}

static void otlp_file_forget(void)
{
	file_json = (struct oa_json){ 0 };
	file_out.fd = 0;
	file_timer = NULL;
	file_flight.active = false;
}

const struct oa_exporter oa_exporter_otlp_file = {
	.name = "otlp_file", .open = otlp_file_open, .send = otlp_file_send, .cancel = otlp_file_cancel,
	.forget = otlp_file_forget,
};
