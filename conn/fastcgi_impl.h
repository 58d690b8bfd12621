#pragma once
/* What both sides of FastCGI share: the parameters of the request that is being told, written down as a head. */
#include "conn/fastcgi.h"
#include "conn/span_http.h"
#include "proto/store.h"

#define OA_GATEWAY_BLOCK 2 /* class: 16 KiB */
#define OA_GATEWAY_LINE  (OA_TARGET_TEXT_MAX + 128)

/* In the block c->store names, from BEGIN to the end of the parameters. Fields are written behind `room`, the request line
 * at its end when all of it is known. */
struct oa_gateway {
	uint16_t method_len, target_len, remote_len, len;
	uint8_t version;
	bool https, forwarded_for, forwarded_proto, exact; /* exact: the target is REQUEST_URI */
	bool left_out; /* a field that is not among them was said */
	bool asked;    /* client: its exchange is there and goes on as it is */
	uint8_t method[32], remote[64];
	uint8_t target[OA_TARGET_TEXT_MAX];
	uint8_t room[OA_GATEWAY_LINE];
	uint8_t fields[16384 - OA_TARGET_TEXT_MAX - OA_GATEWAY_LINE - 128];
};

_Static_assert(sizeof(struct oa_gateway) <= 16384, "a block holds it");

/* NULL: no parameters are being told */
static inline struct oa_gateway *oa_gateway_of(const struct oa_conn *c)
{
	if (c->state == OA_CONN_CONNECTING || !c->store)
		return NULL;
	return (struct oa_gateway *)(void *)oa_block_at(OA_GATEWAY_BLOCK, c->store - 1);
}

void oa_gateway_clear(struct oa_gateway *g);
void oa_gateway_param(struct oa_gateway *g, struct oa_bytes name, struct oa_bytes value);
/* Makes a head of it, in its memory. returns false when it is none that could be read */
bool oa_gateway_head(struct oa_gateway *g, struct oa_http_head *ret);
/* The parameters whose span id may be rewritten. */
bool oa_gateway_is_context(struct oa_bytes name);

/* -- fastcgi_client.c -- */

/* The exchange of a request to an application, prepared. returns its index or -1, otherwise like oa_span_open_client() */
int64_t oa_gateway_ask(struct oa_conn *c, struct oa_http_head *h, uint64_t now_ns, struct oa_remote *remote,
		       uint8_t *ret_result);
/* A parameter went out. */
void oa_gateway_asking(struct oa_conn *c, struct oa_gateway *g, struct oa_bytes name);
/* All of them did. */
void oa_gateway_asked(struct oa_feed *f, struct oa_gateway *g);
