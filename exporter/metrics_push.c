#define OA_LOG_DOMAIN "otlp"
#include "exporter/metrics_push.h"

#include "core/clock.h"
#include "core/config.h"
#include "core/lead.h"
#include "core/log.h"
#include "core/stats.h"
#include "exporter/exporter.h"
#include "exporter/gzip.h"
#include "exporter/otlp_channel.h"
#include "exporter/otlp_metrics.h"
#include "exporter/otlp_response.h"

static struct {
	bool opened, works;
	struct oa_otlp_channel to;
	struct oa_post *post;
	struct oa_json json;
	struct oa_pb pb;
	struct oa_gzip_buf gzip;
	uint64_t due_ns; /* 0: not known yet */
	uint64_t now_unix_ns; /* of what is under way */
	long points;
} push;

static bool push_wanted(void)
{
	return (oa_config.metrics_exporter >> 1 & 1) && !(oa_config.metrics_exporter >> 31) && oa_tree;
}

static bool push_open(void)
{
	if (!push.opened && !oa_otlp_channel(OA_OTLP_METRICS, &push.to)) {
		push.to.post.aside = true;
		push.works = !oa_post_open(&push.to.post, &push.post);
	}
	push.opened = true;
	return push.works;
}

/* The tree's, whoever leads it. The first leader's own, so that with a single process its spans and metrics name the
 * same instance. */
static struct oa_proc_id push_who(void)
{
	struct oa_proc_id who = { 0 };

	if (!atomic_load(&oa_tree->metrics_id_set)) {
		memcpy(oa_tree->metrics_id, oa_self->id.instance_id, sizeof(oa_tree->metrics_id));
		atomic_store(&oa_tree->metrics_id_set, 1);
	}
	memcpy(who.instance_id, oa_tree->metrics_id, sizeof(who.instance_id));
	return who;
}

static void push_on_done(void *arg, const struct oa_post_result *result)
{
	char text[OA_OTLP_TEXT_MAX];
	bool json = push.to.protocol == OA_OTLP_JSON;
	uint64_t rejected;

	(void)arg;
	if (result->end != OA_POST_OK) {
		oa_otlp_read_error(result->body, json, text);
		oa_info("metrics could not be sent: %s (status %u) %s%s", result->why, result->status, result->said, text);
		oa_stat_inc(OA_STAT_metrics_failed);
		return;
	}
	rejected = oa_otlp_read_success(result->body, json, text);
	if (rejected || text[0])
		oa_info("the collector rejected %u of %u data points: %s", (unsigned)rejected, (unsigned)push.points, text);
	oa_metric_accepted(push.now_unix_ns);
	oa_stat_inc(OA_STAT_metrics_ok);
	oa_stat_add(OA_STAT_metrics_rejected, rejected);
}

static bool push_encode(struct oa_bytes *ret_body)
{
	struct oa_proc_id who = push_who();

	push.now_unix_ns = oa_unix_now_ns();
	if (push.to.protocol == OA_OTLP_JSON) {
		push.points = oa_otlp_metrics_json(&push.json, &who, push.now_unix_ns);
		*ret_body = oa_bytes(push.json.mem, push.json.len);
	} else {
		push.points = oa_otlp_metrics_pb(&push.pb, &who, push.now_unix_ns);
		*ret_body = oa_bytes(push.pb.mem, push.pb.len);
	}
	return push.points > 0;
}

static void push_send(uint64_t now_ns)
{
	uint64_t timeout_ns = (uint64_t)oa_config.metric_timeout * 1000000;
	struct oa_bytes body;

	if (!push_open() || oa_post_busy(push.post))
		return;
	if (!push_encode(&body)) {
		oa_stat_inc(OA_STAT_metrics_failed); /* no memory: there are always some */
		return;
	}
	if (push.to.gzip && oa_gzip(&push.gzip, body, &body)) {
		oa_stat_inc(OA_STAT_metrics_failed);
		return;
	}
	oa_post_send(push.post, body, push.to.gzip, timeout_ns ? now_ns + timeout_ns : push.due_ns, push_on_done, NULL);
}

void oa_metrics_push_tick(uint64_t now_ns)
{
	uint64_t interval_ns = (uint64_t)oa_config.metric_interval * 1000000;

	if (!push_wanted())
		return;
	if (!push.due_ns)
		push.due_ns = now_ns + interval_ns;
	if (now_ns < push.due_ns)
		return;
	push.due_ns = push.due_ns + interval_ns > now_ns ? push.due_ns + interval_ns : now_ns + interval_ns;
	push_send(now_ns);
}

void oa_metrics_push_flush(void)
{
	if (push_wanted() && oa_lead_has())
		push_send(oa_now_ns());
}

bool oa_metrics_push_busy(uint64_t until_ns)
{
	return push.post && oa_post_busy(push.post) && !oa_post_pauses(push.post, until_ns);
}

void oa_metrics_push_forget(void) { memset(&push, 0, sizeof(push)); }
