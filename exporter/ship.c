#define OA_LOG_DOMAIN "export"
#include "exporter/ship.h"

#include <errno.h>
#include <stdlib.h>

#include "core/log.h"

struct oa_ship {
	struct oa_ship_config config;
	const char *what;
	struct oa_post *post;
	bool active;
	size_t count, left_out;
	oa_batch_done_fn *done;
	void *arg;
};

static void ship_settle(struct oa_ship *s, size_t ok, size_t rejected, size_t failed)
{
	s->active = false;
	s->done(s->arg, ok, rejected, failed + s->left_out);
}

static void ship_accepted(struct oa_ship *s, struct oa_bytes body)
{
	char text[OA_SHIP_TEXT_MAX] = "";
	uint64_t rejected = s->config.rejected ? s->config.rejected(body, text) : 0;

	if (rejected > s->count)
		rejected = s->count;
	if (rejected || text[0])
		oa_info("%s: the receiver rejected %u of %u: %s", s->what, (unsigned)rejected, (unsigned)s->count, text);
	ship_settle(s, s->count - rejected, rejected, 0);
}

static void ship_on_done(void *arg, const struct oa_post_result *result)
{
	char text[OA_SHIP_TEXT_MAX] = "";
	struct oa_ship *s = arg;

	if (result->end == OA_POST_OK) {
		ship_accepted(s, result->body);
		return;
	}
	if (s->config.error)
		s->config.error(result->body, text);
	oa_info("%s: %u could not be sent: %s (status %u) %s%s", s->what, (unsigned)s->count, result->why, result->status,
		result->said, text);
	ship_settle(s, 0, 0, s->count);
}

void oa_ship_send(struct oa_ship *s, const struct oa_shipment *shipment, uint64_t deadline_ns, oa_batch_done_fn *done,
		  void *arg)
{
	s->done = done;
	s->arg = arg;
	s->active = true;
	s->count = shipment->count;
	s->left_out = shipment->left_out;
	if (s->left_out)
		oa_info("%s: %u were left out: no memory, or more than fits a request", s->what, (unsigned)s->left_out);
	if (s->count)
		oa_post_send(s->post, shipment->body, shipment->gzip, deadline_ns, ship_on_done, s);
	else
		ship_settle(s, 0, 0, 0);
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
	int err;

	if (!s)
		return -ENOMEM;
	s->config = *config;
	s->config.post = NULL;
	s->what = config->post->what;
	err = oa_post_open(config->post, &s->post);
	if (err)
		free(s);
	else
		*ret_ship = s;
	return err;
}
