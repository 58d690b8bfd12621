#include "conn/decide.h"

#include "conn/conn.h"
#include "conn/feed.h"
#include "sampler/sampler.h"

/* -- what the sampler may ask for -- */

static struct oa_bytes decide_header(const void *message, struct oa_bytes name)
{
	struct oa_bytes have, value;
	size_t pos = 0;

	while (oa_http1_line_next(message, &pos, &have, &value))
		if (oa_bytes_ieq(have, name))
			return value;
	return (struct oa_bytes){ 0 };
}

static OA_COLD void decide_request(const struct oa_span *s, const struct oa_http_head *h, struct oa_sample_request *ret)
{
	*ret = (struct oa_sample_request){
		.kind = s->kind, .method = s->method, .https = s->flags & OA_SPAN_HTTPS,
		.port = s->kind == OA_KIND_SERVER ? s->local_port : s->peer.port,
		.method_text = oa_http_slice(h, h->method_text), .target = oa_http_slice(h, h->target),
		.host = oa_http_field(h, OA_FIELD_host), .user_agent = oa_http_field(h, OA_FIELD_user_agent),
		.peer = &s->peer, .header = decide_header, .message = h,
	};
}

/* -- what comes of it -- */

static void decide_flags(struct oa_exchange *ex, const struct oa_decision *d)
{
	struct oa_span *s = oa_exchange_span(ex);

	s->flags |= (d->sampled ? OA_SPAN_SAMPLED : 0) | (d->ours ? OA_SPAN_OWN_DECISION : 0) |
		    (d->tail ? OA_SPAN_TAIL : 0);
	s->rule = d->rule;
}

static OA_COLD void decide_param(struct oa_exchange *ex, const struct oa_decision *d)
{
	uint8_t text[1 + OA_RULE_PARAM_MAX] = { d->type };

	memcpy(text + 1, d->param, d->param_len);
	oa_exchange_set_str(ex, OA_STR_SAMPLER, oa_bytes(text, 1u + d->param_len));
}

static OA_COLD void decide_own_list(struct oa_exchange *ex, uint64_t threshold)
{
	char text[6 + OA_TH_DIGITS] = "ot=th:";

	oa_exchange_set_str(ex, OA_STR_TRACESTATE, oa_bytes(text, 6 + oa_th_text(threshold, text + 6)));
}

static OA_HOT void decide_ask(struct oa_exchange *ex, const struct oa_http_head *h, uint64_t random,
		       const struct oa_remote *remote, struct oa_decision *ret)
{
	const struct oa_span *s = oa_exchange_span(ex);
	struct oa_sample_request request;
	struct oa_sample_ask ask = { .random = random, .now_ns = s->start_ns };

	if (OA_UNLIKELY(h && oa_sampler_asks)) {
		decide_request(s, h, &request);
		ask.request = &request;
	}
	if (remote) {
		ask.has_parent = remote->decided;
		ask.parent_sampled = remote->sampled;
	}
	oa_sample(&ask, ret);
	decide_flags(ex, ret);
	if (OA_UNLIKELY(ret->param_len && !oa_span_has_parent(s)))
		decide_param(ex, ret);
}

static void decide_without_list(struct oa_exchange *ex, const struct oa_http_head *h, const struct oa_remote *remote)
{
	struct oa_decision d;

	decide_ask(ex, h, oa_th_random(oa_exchange_span(ex)->trace_id), remote, &d);
	if (OA_UNLIKELY(d.threshold != OA_TH_NONE))
		decide_own_list(ex, d.threshold);
}

/* -- with a tracestate -- */

/* th of the list that goes on: ours, or the caller's as long as it does not contradict what the caller did. */
static uint64_t decide_threshold(const struct oa_decision *d, const struct oa_ot *ot, uint64_t random)
{
	if (d->ours)
		return d->threshold;
	return d->sampled && ot->threshold != OA_TH_NONE && random >= ot->threshold ? ot->threshold : OA_TH_NONE;
}

/* The two halves of a block: the list as it came, and as it goes on. */
static void decide_with_list(struct oa_exchange *ex, const struct oa_http_head *h, const struct oa_remote *remote,
			     uint8_t *block)
{
	struct oa_buf in = oa_buf(block, OA_TRACESTATE_MAX), out = oa_buf(block + OA_TRACESTATE_MAX, OA_TRACESTATE_MAX);
	struct oa_bytes list = { 0 };
	struct oa_decision d;
	uint64_t random, threshold;
	struct oa_ot ot;

	if (oa_propagate_join(h, OA_FIELD_tracestate, &in))
		list = oa_buf_bytes(&in);
	oa_ot_parse(list, &ot);
	random = ot.has_random ? ot.random : oa_th_random(oa_exchange_span(ex)->trace_id);
	decide_ask(ex, h, random, remote, &d);
	threshold = decide_threshold(&d, &ot, random);
	if (threshold != ot.threshold && oa_ot_write(list, &ot, threshold, &out))
		list = oa_buf_bytes(&out);
	oa_exchange_set_str(ex, OA_STR_TRACESTATE, list);
}

static OA_COLD void decide_list(struct oa_exchange *ex, const struct oa_http_head *h,
						  const struct oa_remote *remote)
{
	/* In a block: a stack frame is too small for two kilobytes. */
	int64_t block = oa_block_take(1);

	_Static_assert(2 * OA_TRACESTATE_MAX <= 2048, "both halves fit a block of class 1");
	if (block < 0) {
		decide_without_list(ex, h, remote);
		return;
	}
	decide_with_list(ex, h, remote, oa_block_at(1, (uint32_t)block));
	oa_block_give(1, (uint32_t)block);
}

void oa_decide(struct oa_exchange *ex, const struct oa_http_head *h, const struct oa_remote *remote)
{
	if (OA_UNLIKELY(remote->w3c && h->field[OA_FIELD_tracestate].len))
		decide_list(ex, h, remote);
	else
		decide_without_list(ex, h, remote);
}

void oa_decide_root(struct oa_exchange *ex, const struct oa_http_head *h)
{
	decide_without_list(ex, h, NULL);
}

/* -- calls -- */

/* Its thread may be ending it. */
static OA_COLD void decide_copy_list(struct oa_exchange *ex, struct oa_ref parent)
{
	struct oa_conn *c = oa_exchange_pin(parent);
	struct oa_bytes list;

	if (!c) {
		oa_stat_inc(OA_STAT_lists_missed);
		return;
	}
	list = oa_span_str(oa_exchange_span(oa_exchange_at(parent.index)), OA_STR_TRACESTATE);
	oa_exchange_set_str(ex, OA_STR_TRACESTATE, oa_bytes_cut(list, OA_TRACESTATE_MAX));
	oa_conn_unlock(c);
}

void oa_decide_child(struct oa_exchange *ex, struct oa_ref parent, uint32_t shown)
{
	oa_exchange_span(ex)->flags |= (shown & OA_SHOWN_SAMPLED ? OA_SPAN_SAMPLED : 0) |
				       (shown & OA_SHOWN_TAIL ? OA_SPAN_TAIL : 0) |
				       (shown & OA_SHOWN_RANDOM ? OA_SPAN_RANDOM : 0);
	if (OA_UNLIKELY(shown & OA_SHOWN_STATE && shown & (OA_SHOWN_SAMPLED | OA_SHOWN_TAIL)))
		decide_copy_list(ex, parent);
}
