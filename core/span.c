/* Texts of a span record, and the names of its enums. */
#include "core/span.h"
#include "core/attr.h"

#include <errno.h>

int oa_span_set_str(struct oa_span *s, size_t cap, enum oa_str which, struct oa_bytes text)
{
	size_t room, at = s->bytes;
	bool cut;

	if (cap > UINT16_MAX)
		cap = UINT16_MAX;
	room = cap > at ? cap - at : 0;
	cut = text.len > room;
	if (cut)
		text.len = room;
	if (text.len)
		memcpy((uint8_t *)s + at, text.ptr, text.len);
	s->str[which] = (struct oa_strref){ (uint16_t)at, (uint16_t)text.len };
	s->bytes = (uint16_t)(at + text.len);
	if (!cut)
		return 0;
	s->flags |= OA_SPAN_TRUNCATED;
	return -ENOSPC;
}

#define PACK_SLACK 2 /* the `?` between path and query, and a byte more */

typedef uint32_t span_refs __attribute__((vector_size(16))); /* four texts: length in the upper half */

static size_t span_text_bytes(const struct oa_span *s)
{
	const unsigned whole = OA_STR_COUNT & ~3u;
	span_refs sum, ref = { 0 };

	memcpy(&ref, &s->str[whole], (OA_STR_COUNT - whole) * sizeof(s->str[0]));
	sum = ref >> 16;
	for (unsigned i = 0; i < whole; i += 4) {
		memcpy(&ref, &s->str[i], sizeof(ref));
		sum += ref >> 16;
	}
	return (size_t)sum[0] + sum[1] + sum[2] + sum[3];
}

/* Whether next to all of its bytes are some text's: mostly they are. */
static bool span_is_packed(const struct oa_span *s)
{
	size_t used = sizeof(*s) + span_text_bytes(s);

	/* Texts that share bytes are more than all of them. */
	return used <= s->bytes && used + PACK_SLACK >= s->bytes;
}

void oa_span_pack(const struct oa_span *s, struct oa_span_buf *ret_copy)
{
	struct oa_span *out = &ret_copy->s;
	size_t at = span_is_packed(s) ? s->bytes : sizeof(*out);

	/* But for its seq: the copy may lie in a ring, where that says that it is complete. */
	memcpy(ret_copy->raw + sizeof(out->seq), (const uint8_t *)s + sizeof(s->seq), at - sizeof(s->seq));
	if (at == s->bytes)
		return;
	for (unsigned i = 0; i < OA_STR_COUNT; i++) {
		struct oa_bytes text = oa_span_str(s, (enum oa_str)i);

		if (!text.len) {
			out->str[i] = (struct oa_strref){ 0 };
			continue;
		}
		if (text.len > sizeof(*ret_copy) - at) {
			text.len = sizeof(*ret_copy) - at;
			out->flags |= OA_SPAN_TRUNCATED;
		}
		memcpy(ret_copy->raw + at, text.ptr, text.len);
		out->str[i] = (struct oa_strref){ text.len ? (uint16_t)at : 0, (uint16_t)text.len };
		at += text.len;
	}
	/* A full record is 16 KiB, which still fits the 16 bits of `bytes`. */
	out->bytes = (uint16_t)at;
}

const char *oa_error_name(enum oa_error e)
{
	static const char *const names[OA_ERR_COUNT] = {
		[OA_ERR_NONE] = "",
#define OA_ERROR(id, name, help) [OA_ERR_##id] = name,
#include "core/error.def"
#undef OA_ERROR
	};

	return (unsigned)e < OA_ERR_COUNT ? names[e] : names[OA_ERR_OTHER];
}

enum oa_error oa_error_from_errno(int err)
{
	switch (err) {
	case 0:
		return OA_ERR_NONE;
	case ECONNREFUSED:
		return OA_ERR_ECONNREFUSED;
	case ECONNRESET:
		return OA_ERR_ECONNRESET;
	case ECONNABORTED:
		return OA_ERR_ECONNABORTED;
	case EPIPE:
		return OA_ERR_EPIPE;
	case EHOSTUNREACH:
		return OA_ERR_EHOSTUNREACH;
	case ENETUNREACH:
		return OA_ERR_ENETUNREACH;
	case ENOENT:
		return OA_ERR_ENOENT;
	case EACCES:
		return OA_ERR_EACCES;
	case EADDRNOTAVAIL:
		return OA_ERR_EADDRNOTAVAIL;
	case ETIMEDOUT:
		return OA_ERR_TIMEOUT;
	}
	return OA_ERR_OTHER;
}

static const char method_names[OA_METHOD_COUNT][8] = {
	[OA_METHOD_OTHER] = "_OTHER",   [OA_METHOD_CONNECT] = "CONNECT", [OA_METHOD_DELETE] = "DELETE",
	[OA_METHOD_GET] = "GET",        [OA_METHOD_HEAD] = "HEAD",       [OA_METHOD_OPTIONS] = "OPTIONS",
	[OA_METHOD_PATCH] = "PATCH",    [OA_METHOD_POST] = "POST",       [OA_METHOD_PUT] = "PUT",
	[OA_METHOD_TRACE] = "TRACE",    [OA_METHOD_QUERY] = "QUERY",
};

const char *oa_method_name(enum oa_method m)
{
	return method_names[(unsigned)m < OA_METHOD_COUNT ? m : OA_METHOD_OTHER];
}

OA_HOT enum oa_method oa_method_parse(struct oa_bytes name)
{
	uint64_t text = 0, known;

	if (name.len < 3 || name.len > 7)
		return OA_METHOD_OTHER;
	for (size_t i = name.len; i-- > 0;) {
		if (!name.ptr[i])
			return OA_METHOD_OTHER;
		text = text << 8 | name.ptr[i];
	}
	for (int m = OA_METHOD_OTHER + 1; m < OA_METHOD_COUNT; m++) {
		memcpy(&known, method_names[m], sizeof(known));
		if (text == known)
			return m;
	}
	return OA_METHOD_OTHER;
}

const char *oa_evidence_name(enum oa_evidence e)
{
	static const char *const names[OA_EV_COUNT] = {
		[OA_EV_ROOT] = "root",   [OA_EV_REMOTE] = "remote", [OA_EV_MESSAGE] = "message",
		[OA_EV_BOUND] = "bound", [OA_EV_TURN] = "turn",     [OA_EV_ONLY] = "only",
		[OA_EV_FINGERPRINT] = "fingerprint", [OA_EV_AMBIGUOUS] = "ambiguous",
	};

	return (unsigned)e < OA_EV_COUNT ? names[e] : names[OA_EV_ROOT];
}
OA_HOT bool oa_span_db(const struct oa_span *s, struct oa_db *ret, struct oa_db_texts *ret_texts)
{
	struct oa_bytes all = oa_span_str(s, OA_STR_DB);
	const uint8_t *p = all.ptr + sizeof(*ret);

	if (s->what != OA_WHAT_DB || all.len < sizeof(*ret))
		return false;
	memcpy(ret, all.ptr, sizeof(*ret));
	if (sizeof(*ret) + ret->operation + ret->target + ret->status > all.len)
		return false;
	ret_texts->operation = oa_bytes(p, ret->operation);
	ret_texts->target = oa_bytes(p + ret->operation, ret->target);
	ret_texts->status = oa_bytes(p + ret->operation + ret->target, ret->status);
	return true;
}
