#define OA_LOG_DOMAIN "export"
#include "exporter/ship.h"

#include <errno.h>
#include <stdlib.h>

#include <event2/event.h>

#include "core/clock.h"
#include "core/id.h"
#include "core/log.h"
#include "core/stats.h"
#include "exporter/retry.h"
#include "exporter/spool.h"

#define SHIP_LOOK_MS 5000 /* for what other processes left in the spool */
#define SHIP_NAP_MS  1

struct oa_ship {
	struct oa_ship_config config;
	const char *what;
	struct oa_post *post;
	bool active;
	bool gzip;
	struct oa_bytes body;
	size_t count, left_out;
	uint64_t kept; /* of oa_wire_set(): by the spool */
	oa_batch_done_fn *done;
	void *arg;
	/* with a spool */
	struct oa_post *spool_post; /* NULL: without */
	struct event *timer;
	bool away;                  /* the receiver did not answer the last time */
	unsigned failures;          /* in a row */
	struct oa_spool_file file;  /* being sent */
	struct oa_ship *next;
};

static struct oa_ship *ships;
static bool ship_ending;

static void ship_settle(struct oa_ship *s, size_t ok, size_t rejected, size_t failed)
{
	s->active = false;
	s->done(s->arg, ok, rejected, failed + s->left_out);
}

static uint64_t ship_rejected(struct oa_ship *s, struct oa_bytes body, size_t count)
{
	char text[OA_SHIP_TEXT_MAX] = "";
	uint64_t rejected = s->config.rejected ? s->config.rejected(body, text) : 0;

	if (rejected > count)
		rejected = count;
	if (rejected || text[0])
		oa_info("%s: the receiver rejected %u of %u: %s", s->what, (unsigned)rejected, (unsigned)count, text);
	return rejected;
}

static void ship_say_failed(struct oa_ship *s, size_t count, const struct oa_post_result *result)
{
	char text[OA_SHIP_TEXT_MAX] = "";

	if (s->config.error)
		s->config.error(result->body, text);
	oa_info("%s: %u could not be sent: %s (status %u) %s%s", s->what, (unsigned)count, result->why, result->status,
		result->said, text);
}

/* -- the spool -- */

static void ship_wait_ms(struct oa_ship *s, uint64_t ms)
{
	const struct timeval tv = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };

	(void)evtimer_add(s->timer, &tv);
}

static void ship_is_away(struct oa_ship *s, uint64_t pause_ms)
{
	uint64_t own = oa_retry_pause_ms(++s->failures, oa_id_random());

	s->away = true;
	ship_wait_ms(s, pause_ms > own ? pause_ms : own);
}

static void ship_is_back(struct oa_ship *s)
{
	if (s->away)
		ship_wait_ms(s, SHIP_NAP_MS);
	s->away = false;
	s->failures = 0;
}

static void ship_keep(struct oa_ship *s)
{
	int err;

	oa_wire_set(&s->kept, true); /* who runs next sends it from there */
	err = oa_spool_put(s->config.spool_kind, s->body, s->gzip, s->count);
	if (err) {
		oa_wire_set(&s->kept, false);
		oa_info("%s: %u could not be kept on disk (error %d)", s->what, (unsigned)s->count, -err);
	}
	ship_settle(s, 0, 0, err ? s->count : 0);
}

static void ship_on_spool_done(void *arg, const struct oa_post_result *result)
{
	struct oa_ship *s = arg;
	size_t count = s->file.count;
	uint64_t rejected = 0;

	if (result->end == OA_POST_OK) {
		rejected = ship_rejected(s, result->body, count);
		oa_stat_add(OA_STAT_export_ok, count - rejected);
		oa_stat_add(OA_STAT_export_rejected, rejected);
		oa_stat_add(OA_STAT_drop_export_rejected, rejected);
		oa_stat_add(OA_STAT_spool_sent, count);
	} else if (result->passes) {
		oa_spool_back(&s->file);
		ship_is_away(s, result->pause_ms);
		return;
	} else {
		ship_say_failed(s, count, result);
		oa_stat_add(OA_STAT_export_failed, count);
		oa_stat_add(OA_STAT_drop_export_failed, count);
		oa_stat_add(OA_STAT_spool_refused, count);
	}
	oa_spool_done(&s->file);
	ship_is_back(s);
	ship_wait_ms(s, SHIP_NAP_MS); /* the next */
}

static void ship_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct oa_ship *s = arg;

	(void)fd, (void)what;
	if (oa_post_busy(s->spool_post) || ship_ending)
		return;
	if (oa_spool_take(s->config.spool_kind, &s->file)) {
		oa_post_send(s->spool_post, s->file.body, s->file.gzip, UINT64_MAX, ship_on_spool_done, s);
		return;
	}
	s->away = false; /* nothing to ask it with: the next batch will see */
	ship_wait_ms(s, SHIP_LOOK_MS);
}

void oa_ship_end(void)
{
	ship_ending = true;
	for (struct oa_ship *s = ships; s; s = s->next) {
		if (!s->spool_post || !s->file.fd)
			continue;
		oa_post_cancel(s->spool_post);
		/* It may have arrived. */
		oa_stat_add(OA_STAT_spool_unknown, s->file.count);
		oa_stat_add(OA_STAT_export_unknown, s->file.count);
		oa_spool_done(&s->file);
	}
}

bool oa_ship_keeps(void)
{
	for (struct oa_ship *s = ships; s; s = s->next)
		if (s->spool_post)
			return true;
	return false;
}

unsigned oa_ship_pausing(uint64_t until_ns)
{
	unsigned n = 0;

	for (const struct oa_ship *s = ships; s; s = s->next)
		n += s->active && oa_post_pauses(s->post, until_ns);
	return n;
}

static int ship_open_spool(struct oa_ship *s)
{
	struct oa_post_config post = *s->config.post;
	int err;

	if (!s->config.spool_kind || !oa_spool_open())
		return 0;
	post.once = post.aside = true;
	s->timer = evtimer_new(oa_loop_base(), ship_on_timer, s);
	err = s->timer ? oa_post_open(&post, &s->spool_post) : -ENOMEM;
	if (!err)
		ship_wait_ms(s, SHIP_NAP_MS); /* what was left by those before us */
	return err;
}

/* -- a batch -- */

static void ship_on_done(void *arg, const struct oa_post_result *result)
{
	struct oa_ship *s = arg;
	uint64_t rejected;

	if (result->end == OA_POST_OK) {
		rejected = ship_rejected(s, result->body, s->count);
		if (s->spool_post)
			ship_is_back(s);
		ship_settle(s, s->count - rejected, rejected, 0);
		return;
	}
	if (s->spool_post && result->passes) {
		ship_is_away(s, result->pause_ms);
		ship_keep(s);
		return;
	}
	ship_say_failed(s, s->count, result);
	ship_settle(s, 0, 0, s->count);
}

void oa_ship_send(struct oa_ship *s, const struct oa_shipment *shipment, uint64_t deadline_ns, oa_batch_done_fn *done,
		  void *arg)
{
	s->done = done;
	s->arg = arg;
	s->active = true;
	s->body = shipment->body;
	s->gzip = shipment->gzip;
	s->count = shipment->count;
	s->left_out = shipment->left_out;
	if (s->left_out)
		oa_info("%s: %u were left out: no memory, or more than fits a request", s->what, (unsigned)s->left_out);
	if (!s->count)
		ship_settle(s, 0, 0, 0);
	else if (s->spool_post && (s->away || ship_ending))
		ship_keep(s);
	else if (ship_ending)
		ship_settle(s, 0, 0, s->count);
	else
		oa_post_send(s->post, s->body, s->gzip, deadline_ns, ship_on_done, s);
}

void oa_ship_cancel(struct oa_ship *s)
{
	if (!s->active)
		return;
	oa_post_cancel(s->post);
	ship_settle(s, 0, 0, s->count);
}

int oa_ship_open(const struct oa_ship_config *config, struct oa_ship **ret_ship)
{
	struct oa_ship *s = calloc(1, sizeof(*s));
	struct oa_post_config post = *config->post;
	int err;

	if (!s)
		return -ENOMEM;
	s->config = *config;
	s->what = config->post->what;
	err = ship_open_spool(s);
	post.once = s->spool_post != NULL; /* what does not go at once goes to the disk */
	if (!err)
		err = oa_post_open(&post, &s->post);
	s->config.post = NULL;
	if (err) {
		free(s); /* a timer that is left finds it ended */
		return err;
	}
	s->next = ships;
	ships = s;
	*ret_ship = s;
	return 0;
}

void oa_ship_forget(void)
{
	ships = NULL;
	ship_ending = false;
	oa_spool_forget();
}
