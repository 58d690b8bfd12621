/* gRPC over HTTP/2, as its protocol description has it (PROTOCOL-HTTP2). */
#include "proto/grpc.h"
#include "core/attr.h"

#define PREFIX_LEN      5
#define TIMEOUT_DIGITS  8
#define STATUS_UNKNOWN  2
#define STATUS_MAX      16

enum { GRPC_PREFIX, GRPC_MESSAGE, GRPC_DEAD };

/* One byte of a length prefix: a flag, then four of length. returns true when it is whole */
static bool prefix_byte(struct oa_grpc *g, uint8_t c)
{
	if (g->got == 0) {
		if (c > 1) {
			g->state = GRPC_DEAD;
			return false;
		}
		g->left = 0;
	} else {
		g->left = g->left << 8 | c;
	}
	return ++g->got == PREFIX_LEN;
}

OA_HOT uint32_t oa_grpc_feed(struct oa_grpc *g, struct oa_bytes in)
{
	uint32_t messages = 0, n;

	while (in.len && g->state != GRPC_DEAD) {
		if (g->state == GRPC_MESSAGE) {
			n = in.len < g->left ? (uint32_t)in.len : g->left;
			g->left -= n;
		} else {
			n = 1;
			if (!prefix_byte(g, in.ptr[0])) {
				in = oa_bytes(in.ptr + 1, in.len - 1);
				continue;
			}
			g->state = GRPC_MESSAGE;
		}
		in = oa_bytes(in.ptr + n, in.len - n);
		if (!g->left) {
			*g = (struct oa_grpc){ .state = GRPC_PREFIX };
			messages++;
		}
	}
	return messages;
}

OA_HOT bool oa_grpc_content_type(struct oa_bytes v)
{
	struct oa_bytes type = OA_LIT("application/grpc");

	return v.len >= type.len && oa_bytes_ieq(oa_bytes(v.ptr, type.len), type) &&
	       (v.len == type.len || v.ptr[type.len] == '+' || v.ptr[type.len] == ';');
}

OA_HOT uint64_t oa_grpc_timeout_ns(struct oa_bytes v)
{
	uint64_t n = 0;

	if (v.len < 2 || v.len > TIMEOUT_DIGITS + 1)
		return 0;
	for (size_t i = 0; i + 1 < v.len; i++) {
		if ((uint8_t)(v.ptr[i] - '0') > 9)
			return 0;
		n = n * 10 + (uint64_t)(v.ptr[i] - '0');
	}
	switch (v.ptr[v.len - 1]) {
	case 'H':
		return n * 3600000000000u;
	case 'M':
		return n * 60000000000u;
	case 'S':
		return n * 1000000000u;
	case 'm':
		return n * 1000000u;
	case 'u':
		return n * 1000u;
	case 'n':
		return n;
	}
	return 0;
}

OA_HOT int oa_grpc_status(struct oa_bytes v)
{
	unsigned n = 0;

	if (!v.len || v.len > 9)
		return -1;
	for (size_t i = 0; i < v.len; i++) {
		if ((uint8_t)(v.ptr[i] - '0') > 9)
			return -1;
		n = n * 10 + (unsigned)(v.ptr[i] - '0');
	}
	return n <= STATUS_MAX ? (int)n : STATUS_UNKNOWN;
}

unsigned oa_grpc_status_of_http(unsigned status)
{
	switch (status) {
	case 400:
		return 13;
	case 401:
		return 16;
	case 403:
		return 7;
	case 404:
		return 12;
	case 429:
	case 502:
	case 503:
	case 504:
		return 14;
	}
	return STATUS_UNKNOWN;
}

unsigned oa_grpc_status_of_reset(uint32_t error)
{
	switch (error) {
	case 7: /* REFUSED_STREAM */
		return 14;
	case 8: /* CANCEL */
		return 1;
	case 11: /* ENHANCE_YOUR_CALM */
		return 8;
	case 12: /* INADEQUATE_SECURITY */
		return 7;
	}
	return 13;
}
