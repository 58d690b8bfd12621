/* traceresponse and Server-Timing, and where they go in HTTP/1 responses. */
#include "conn/respond.h"

#include <limits.h>
#include <string.h>

#include "conn/inject_impl.h"
#include "core/id.h"
#include "proto/http1.h"

#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY 0x4000000
#endif

unsigned oa_respond_missing(const struct oa_http_head *head)
{
	struct oa_bytes name, value;
	unsigned found = 0;
	size_t pos = 0;

	while (oa_http1_line_next(head, &pos, &name, &value)) {
		if (oa_bytes_ieq(name, OA_LIT("traceresponse")))
			found |= OA_RESPONSE_TRACERESPONSE;
		else if (oa_bytes_ieq(name, OA_LIT("server-timing")) && memmem(value.ptr, value.len, "traceparent", 11))
			found |= OA_RESPONSE_SERVER_TIMING;
	}
	return oa_config.response_headers & (OA_RESPONSE_TRACERESPONSE | OA_RESPONSE_SERVER_TIMING) & ~found;
}

void oa_respond_lines(const struct oa_exchange *ex, unsigned which, struct oa_buf *out)
{
	char value[OA_TRACEPARENT];

	oa_propagate_exchange(ex, value);
	if (which & OA_RESPONSE_TRACERESPONSE) {
		oa_buf_put(out, OA_LIT("traceresponse: "));
		oa_buf_put(out, oa_bytes(value, sizeof(value)));
		oa_buf_put(out, OA_LIT("\r\n"));
	}
	if (which & OA_RESPONSE_SERVER_TIMING) {
		oa_buf_put(out, OA_LIT("Server-Timing: traceparent;desc=\""));
		oa_buf_put(out, oa_bytes(value, sizeof(value)));
		oa_buf_put(out, OA_LIT("\"\r\n"));
	}
}

static void respond_add(const struct oa_conn *c, struct oa_send *s, const struct oa_exchange *ex, const struct oa_http_head *head,
			size_t off)
{
	unsigned which = oa_respond_missing(head);
	struct oa_buf out;

	if (!which || !oa_inject_reserve(c, s, 0))
		return;
	out = oa_inject_room(s);
	oa_respond_lines(ex, which, &out);
	s->point[0] = (struct oa_point){ .off = (uint32_t)(off + head->blank_off), .len = (uint32_t)out.len, .text = out.ptr };
	s->points = 1;
}

/* The response that is next, behind interim ones in the same call. */
static void respond_scan(const struct oa_conn *c, struct oa_send *s, const struct oa_exchange *ex, struct oa_bytes view)
{
	struct oa_http_head head;
	size_t off = 0;
	long len;

	while ((len = oa_http1_parse_head(oa_bytes(view.ptr + off, view.len - off), OA_DIR_RESPONSE, &head)) > 0) {
		if (head.status >= 200) {
			respond_add(c, s, ex, &head, off + (size_t)(head.block.ptr - (view.ptr + off)));
			return;
		}
		if (head.status == 101)
			return;
		off += (size_t)len;
		if (off >= view.len)
			return;
	}
}

void oa_respond_prepare(struct oa_conn *c, struct oa_send *s)
{
	struct oa_exchange *ex = c->first ? oa_exchange_at(c->first - 1) : NULL;
	struct oa_bytes view;
	uint32_t block;

	if (!ex || c->state != OA_CONN_HTTP)
		return;
	if (oa_protos[c->proto - 1]->flags & OA_PROTO_STREAMS) {
		oa_http2_respond(c, s);
		return;
	}
	if (oa_protos[c->proto - 1] != &oa_proto_http1 || c->carry[OA_DIR_RESPONSE] || ex->flags & OA_EX_RESPONDED ||
	    oa_exchange_span(ex)->what != OA_WHAT_HTTP || s->flags & MSG_ZEROCOPY || s->host_iovcnt + 2 > IOV_MAX ||
	    !oa_http1_at_boundary(c->pstate[OA_DIR_RESPONSE]))
		return;
	view = oa_inject_view(s, OA_DIR_RESPONSE, &block);
	respond_scan(c, s, ex, view);
	if (block)
		oa_block_give(2, block - 1);
}
