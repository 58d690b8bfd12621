/* DNS over a stream: each message behind its length. dns_message() reads one, which is a whole datagram too. A question
 * and its answer have a number; the name asked for is told as it was sent, in letters a log can hold. */
#include "proto/store_frame.h"

#define DNS_HEAD     12
#define DNS_READ_MAX 300 /* head, name, type and class */
#define DNS_TEXT_MAX 256

struct dns_state {
	struct store_state st;
};

static const char *type_name(unsigned type)
{
	static const char *const names[] = {
		[1] = "A", [2] = "NS", [5] = "CNAME", [6] = "SOA", [12] = "PTR", [15] = "MX", [16] = "TXT", [28] = "AAAA",
		[33] = "SRV", [35] = "NAPTR", [43] = "DS", [48] = "DNSKEY", [64] = "SVCB", [65] = "HTTPS", [255] = "ANY",
	};

	if (type == 252)
		return "AXFR";
	return type < sizeof(names) / sizeof(names[0]) && names[type] ? names[type] : "_OTHER";
}

/* The name behind the head, as text with dots. returns bytes it took, 0 when it is none */
static size_t name_read(struct oa_bytes msg, uint8_t text[DNS_TEXT_MAX], size_t *ret_len)
{
	size_t at = DNS_HEAD, out = 0;

	while (at < msg.len && msg.ptr[at]) {
		size_t n = msg.ptr[at++];

		if (n > 63 || n > msg.len - at || out + n + 1 > DNS_TEXT_MAX - 1)
			return 0;
		if (out)
			text[out++] = '.';
		for (; n; n--, at++)
			text[out++] = msg.ptr[at] > ' ' && msg.ptr[at] < 0x7f ? msg.ptr[at] : '?';
	}
	if (at + 5 > msg.len)
		return 0;
	*ret_len = out;
	return at + 5 - DNS_HEAD;
}

static bool is_question(const uint8_t *p)
{
	return !(p[2] & 0xf8) && store_be16(p + 4) == 1 && !store_be16(p + 6) && !store_be16(p + 8) && store_be16(p + 10) <= 2;
}

static int question(struct dns_state *st, struct oa_bytes msg, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .system = OA_STORE_DNS, .flags = OA_STORE_BY_STREAM };
	uint8_t text[DNS_TEXT_MAX];
	size_t len, n;

	if (!is_question(msg.ptr))
		return -EPROTO;
	n = name_read(msg, text, &len);
	if (!n)
		return -EPROTO;
	m.target = len ? oa_bytes(text, len) : OA_LIT(".");
	m.operation = oa_bytes_str(type_name(store_be16(msg.ptr + DNS_HEAD + n - 4)));
	store_emit_last(&st->st, sink, OA_EVENT_REQUEST, store_be16(msg.ptr), &m);
	return 0;
}

static int answer(struct dns_state *st, struct oa_bytes msg, const struct oa_sink *sink)
{
	static const char *const names[] = { "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED" };
	struct oa_store_msg m = { .system = OA_STORE_DNS, .flags = OA_STORE_BY_STREAM | OA_STORE_HAS_ROWS };
	unsigned code = msg.ptr[3] & 15;

	if (!(msg.ptr[2] & 0x80))
		return -EPROTO;
	m.rows = store_be16(msg.ptr + 6);
	m.status_num = (uint16_t)code;
	if (code) {
		m.flags |= OA_STORE_FAILED;
		m.status = code < 6 ? oa_bytes_str(names[code]) : OA_LIT("_OTHER");
	}
	store_emit_last(&st->st, sink, OA_EVENT_RESPONSE, store_be16(msg.ptr), &m);
	return 0;
}

static inline long dns_unit(void *state, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	struct dns_state *st = state;
	size_t len, want;
	int err;

	if (in.len < 2)
		return 0;
	len = store_be16(in.ptr);
	if (len < DNS_HEAD)
		return -EPROTO;
	want = len < DNS_READ_MAX ? len : DNS_READ_MAX;
	if (in.len < 2 + want)
		return 0;
	st->st.skip = (uint32_t)(len - want);
	err = (dir == OA_DIR_REQUEST ? question : answer)(st, oa_bytes(in.ptr + 2, want), sink);
	return err ? err : (long)(2 + want);
}

static long dns_feed(void *state, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	return store_feed(state, dir, in, sink, dns_unit, store_done_end);
}

static long dns_skip(void *state, enum oa_dir dir, uint64_t n, const struct oa_sink *sink)
{
	return store_unseen(state, n, sink, store_done_end);
}

static int dns_close(void *state, enum oa_dir dir, const struct oa_sink *sink)
{
	return store_close(state, false);
}

/* One question of class IN with nothing else but EDNS, as long as it says. */
static enum oa_detect dns_detect(enum oa_dir dir, struct oa_bytes in)
{
	uint8_t text[DNS_TEXT_MAX];
	struct oa_bytes msg;
	size_t len, n;

	if (dir != OA_DIR_REQUEST)
		return OA_DETECT_NO;
	if (in.len >= 2 && (store_be16(in.ptr) < DNS_HEAD + 5 || store_be16(in.ptr) > 600))
		return OA_DETECT_NO;
	if (in.len < 2 + DNS_HEAD)
		return in.len > 4 && in.ptr[4] & 0xf8 ? OA_DETECT_NO : OA_DETECT_MORE;
	if (!is_question(in.ptr + 2) || (in.ptr[5] & 0xcf))
		return OA_DETECT_NO;
	len = store_be16(in.ptr);
	if (in.len < 2 + len)
		return OA_DETECT_MORE;
	msg = oa_bytes(in.ptr + 2, len);
	n = name_read(msg, text, &(size_t){ 0 });
	if (!n || store_be16(msg.ptr + DNS_HEAD + n - 2) != 1)
		return OA_DETECT_NO;
	return (DNS_HEAD + n < len) == (store_be16(msg.ptr + 10) > 0) ? OA_DETECT_YES : OA_DETECT_NO;
}

const struct oa_proto oa_proto_dns = {
	.name = "dns",
	.state_bytes = sizeof(struct dns_state),
	.flags = OA_PROTO_STORE,
	.detect = dns_detect,
	.feed = dns_feed,
	.close = dns_close,
	.skip = dns_skip,
};
