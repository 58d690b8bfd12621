/* The header names the parser looks at, how their lines are taken, and the choices made once: the hash over the
 * names, the processor's vector width. Both are set by oa_http1_init(); before it a plain search and SSE2 do the
 * same work. */
#include "proto/http1_names.h"

#include <cpuid.h>
#include <errno.h>

#define NAME(s) { s, sizeof(s) - 1 }

const struct http1_name oa_http1_names[HTTP1_NAME_COUNT] = {
#define OA_FIELD(id, name) [OA_FIELD_##id] = NAME(name),
#include "proto/http1_fields.def"
#undef OA_FIELD
	[HTTP1_CONTENT_LENGTH] = NAME("content-length"),
	[HTTP1_TRANSFER_ENCODING] = NAME("transfer-encoding"),
	[HTTP1_CONNECTION] = NAME("connection"),
	[HTTP1_EXPECT] = NAME("expect"),
};

#define OA_FIELD(id, name) \
	_Static_assert(sizeof(name) - 1 >= 2 && sizeof(name) - 1 <= HTTP1_NAME_BYTES, "length of " name);
#include "proto/http1_fields.def"
#undef OA_FIELD
_Static_assert(OA_FIELD_COUNT <= 32, "struct http1_reading.seen");

struct http1_keys oa_http1_keys = { .used = ~0ull };
bool oa_http1_wide;

#define LOWER 0x2020202020202020ull

static inline uint64_t load64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return v;
}

/* Case-blind by setting bit 5. That is exact for names of letters, digits and '-' as long as the text has no
 * control bytes; a header block that has any is refused as a whole. `room` bytes can be read, len or more. */
static inline bool name_is(const uint8_t *p, size_t room, const struct http1_name *name)
{
	size_t len = name->len;
	uint64_t mask = len < 8 ? ~(~0ull << 8 * len) : ~0ull;

	if (__builtin_expect(room < 8, 0)) {
		for (size_t i = 0; i < len; i++)
			if ((p[i] | 0x20) != (uint8_t)name->text[i])
				return false;
		return true;
	}
	if (((load64(p) | LOWER) ^ load64(name->text)) & mask)
		return false;
	if (len <= 8)
		return true;
	if ((load64(p + len - 8) | LOWER) != load64(name->text + len - 8))
		return false;
	return len <= 16 || (load64(p + 8) | LOWER) == load64(name->text + 8);
}

/* A field somebody reads, which is called `id`: its value stands in [from, end). */
static int take_field(struct http1_reading *r, unsigned id, size_t from, size_t end)
{
	struct oa_bytes value = http1_trim(oa_bytes(r->in.ptr + from, end - from));

	if (id >= OA_FIELD_COUNT)
		return oa_http1_take(r, id, value);
	if (r->seen & 1u << id) {
		r->head->flags |= id == OA_FIELD_traceparent ? OA_HTTP_MULTI_PARENT : OA_HTTP_REPEATED;
		return 0;
	}
	r->seen |= 1u << id;
	r->head->field[id] = (struct oa_slice){ (uint32_t)(value.ptr - r->in.ptr), (uint32_t)value.len };
	return 0;
}

/* A name of ours ends at `at` and no colon follows. Blanks before one: some readers take the field, some do not
 * (RFC 9112 5.1), so nobody may. */
static __attribute__((noinline)) int refuse_blanks(struct http1_reading *r, size_t at, size_t end)
{
	while (at < end && (r->in.ptr[at] == ' ' || (uint8_t)(r->in.ptr[at] - '\t') < 5))
		at++;
	return at < end && r->in.ptr[at] == ':' ? -EPROTO : 0;
}

/* returns 1 when the line has this name and was taken; 0; -EPROTO */
static inline int try_name(struct http1_reading *r, unsigned id, size_t start, size_t end)
{
	const struct http1_name *name = &oa_http1_names[id];
	size_t at = start + name->len;

	if (at >= end || !name_is(r->in.ptr + start, r->in.len - start, name))
		return 0;
	if (__builtin_expect(r->in.ptr[at] != ':', 0))
		return refuse_blanks(r, at, end);
	return take_field(r, id, at + 1, end) < 0 ? -EPROTO : 1;
}

static __attribute__((noinline)) int search_line(struct http1_reading *r, size_t start, size_t end)
{
	int rc = 0;

	for (unsigned id = 0; id < HTTP1_NAME_COUNT && !rc; id++)
		rc = try_name(r, id, start, end);
	return rc;
}

int oa_http1_known_line(struct http1_reading *r, size_t start, size_t end, unsigned key)
{
	const uint8_t *id = oa_http1_keys.names[key];
	int rc = 0;

	if (__builtin_expect(!*id, 0)) /* before init */
		return search_line(r, start, end);
	for (; *id && !rc; id++)
		rc = try_name(r, *id - 1u, start, end);
	return rc;
}

/* returns false when the slot is full */
static bool key_add(const uint8_t *text, unsigned id, uint64_t *used)
{
	unsigned key = http1_key(text), i = 0;

	while (oa_http1_keys.names[key][i] && oa_http1_keys.names[key][i] != id + 1)
		i++;
	if (i >= HTTP1_KEY_NAMES - 1)
		return false;
	oa_http1_keys.names[key][i] = (uint8_t)(id + 1);
	*used |= 1ull << key;
	return true;
}

/* Names of two letters have the byte behind them in their key. */
static bool name_add(unsigned id, uint64_t *used)
{
	uint8_t text[4] = { 0 };

	memcpy(text, oa_http1_names[id].text, 3);
	if (oa_http1_names[id].len > 2)
		return key_add(text, id, used);
	for (const char *behind = ":\t\n\r "; *behind; behind++) {
		text[2] = (uint8_t)*behind;
		if (!key_add(text, id, used))
			return false;
	}
	return true;
}

/* Not __builtin_cpu_supports(): libgcc's half of it brings a constructor into the library. */
static bool cpu_has_avx2(void)
{
	const unsigned want = bit_OSXSAVE | bit_AVX;
	unsigned a, b, c, d, states;

	if (!__get_cpuid(1, &a, &b, &c, &d) || (c & want) != want)
		return false;
	__asm__("xgetbv" : "=a"(states), "=d"(d) : "c"(0));
	if ((states & 6) != 6) /* the kernel saves XMM and YMM */
		return false;
	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2) && (b & bit_BMI);
}

void oa_http1_init(void)
{
	uint64_t used = 0;

	__atomic_store_n(&oa_http1_wide, cpu_has_avx2(), __ATOMIC_RELAXED);
	for (unsigned id = 0; id < HTTP1_NAME_COUNT; id++) {
		if (!name_add(id, &used)) {
			memset(oa_http1_keys.names, 0, sizeof(oa_http1_keys.names));
			return;
		}
	}
	__atomic_store_n(&oa_http1_keys.used, used, __ATOMIC_RELEASE);
}
