#include "conn/rpc.h"

#include "core/attr.h"
#include "proto/grpc.h"

#define STATUS_CANCELLED 1
#define STATUS_DEADLINE  4
#define RPC_LATE_NS      20000000u

/* While the call is open. The record moves when it grows, so this is copied out and in. */
struct rpc_call {
	struct oa_rpc rpc; /* what the finished record keeps */
	struct oa_grpc dir[2];
	uint16_t http_status;
	int16_t status; /* -1: not said yet */
};

static void rpc_call_get(const struct oa_exchange *ex, struct rpc_call *k)
{
	struct oa_bytes text = oa_span_str(ex->span, OA_STR_RPC);

	*k = (struct rpc_call){ .status = -1 };
	if (OA_LIKELY(text.len == sizeof(*k)))
		memcpy(k, text.ptr, sizeof(*k));
}

static void rpc_call_put(struct oa_exchange *ex, const struct rpc_call *k)
{
	struct oa_bytes text = oa_span_str(ex->span, OA_STR_RPC);

	if (OA_LIKELY(text.len == sizeof(*k)))
		memcpy((uint8_t *)(uintptr_t)text.ptr, k, sizeof(*k));
}

bool oa_rpc_is(const struct oa_http2_head *h)
{
	return h->content_type.len && h->http.method == OA_METHOD_POST &&
	       oa_grpc_content_type(oa_http_slice(&h->http, h->content_type));
}

OA_HOT void oa_rpc_open(struct oa_exchange *ex, const struct oa_http2_head *h)
{
	struct rpc_call k = { .status = -1 };

	k.rpc.timeout_ns = oa_grpc_timeout_ns(oa_http_slice(&h->http, h->grpc_timeout));
	oa_exchange_set_str(ex, OA_STR_RPC, oa_bytes(&k, sizeof(k)));
}

static void rpc_take_status(struct oa_exchange *ex, struct rpc_call *k, const struct oa_http2_head *h)
{
	int status = oa_grpc_status(oa_http_slice(&h->http, h->grpc_status));

	if (status >= 0)
		k->status = (int16_t)status;
	rpc_call_put(ex, k);
}

OA_HOT void oa_rpc_response(struct oa_exchange *ex, const struct oa_http2_head *h)
{
	struct rpc_call k;

	rpc_call_get(ex, &k);
	k.http_status = h->http.status;
	rpc_take_status(ex, &k, h); /* when there is nothing but this block */
}

OA_HOT void oa_rpc_trailers(struct oa_exchange *ex, const struct oa_http2_head *h)
{
	struct rpc_call k;

	rpc_call_get(ex, &k);
	rpc_take_status(ex, &k, h);
}

OA_HOT void oa_rpc_body(struct oa_exchange *ex, enum oa_dir dir, struct oa_bytes bytes)
{
	struct rpc_call k;

	rpc_call_get(ex, &k);
	if (bytes.ptr)
		k.rpc.messages[dir] += oa_grpc_feed(&k.dir[dir], bytes);
	else
		k.rpc.unseen = 1;
	rpc_call_put(ex, &k);
}

/* Length prefixes are no part of messages. */
static void rpc_settle(struct oa_exchange *ex, struct rpc_call *k, unsigned status)
{
	struct oa_span *s = oa_exchange_span(ex);

	s->status = (uint16_t)status;
	s->flags |= OA_SPAN_HAS_STATUS;
	rpc_call_put(ex, k);
}

OA_HOT void oa_rpc_end(struct oa_exchange *ex, uint64_t now_ns)
{
	struct rpc_call k;

	rpc_call_get(ex, &k);
	(void)now_ns;
	rpc_settle(ex, &k, k.status >= 0 ? (unsigned)k.status : oa_grpc_status_of_http(k.http_status));
}

/* The header says how much time was left when it was made; it may have gone out, or come in, later than that. */
static bool rpc_is_late(uint64_t elapsed_ns, uint64_t timeout_ns)
{
	uint64_t slack = timeout_ns / 8 < RPC_LATE_NS ? timeout_ns / 8 : RPC_LATE_NS;

	if (slack < timeout_ns / 64) /* written with two digits */
		slack = timeout_ns / 64;
	return timeout_ns && elapsed_ns + slack >= timeout_ns;
}

/* A client gives up on a call by cancelling its stream, also when the time it had allowed is over. */
void oa_rpc_reset(struct oa_exchange *ex, uint32_t code, uint64_t now_ns)
{
	const struct oa_span *s = oa_exchange_span(ex);
	unsigned status = oa_grpc_status_of_reset(code);
	struct rpc_call k;

	rpc_call_get(ex, &k);
	if (k.status >= 0) /* said before, and now the rest of the stream is not wanted any more */
		status = (unsigned)k.status;
	else if (status == STATUS_CANCELLED && rpc_is_late(now_ns - s->start_ns, k.rpc.timeout_ns))
		status = STATUS_DEADLINE;
	rpc_settle(ex, &k, status);
}
