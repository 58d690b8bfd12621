/* The header names the parser looks at, and the choices made once: the hash over them, the processor's
 * vector width. Both are set by oa_http1_init(); before it a plain search and SSE2 do the same work. */
#include "proto/http1_names.h"

#include <cpuid.h>

#include "proto/http1_impl.h"

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
	_Static_assert(sizeof(name) - 1 >= 2 && sizeof(name) - 1 < HTTP1_NAME_BYTES, "length of " name);
#include "proto/http1_fields.def"
#undef OA_FIELD
_Static_assert(HTTP1_NAME_COUNT <= HTTP1_NAME_SLOTS / 2, "slots");
_Static_assert(OA_FIELD_COUNT <= 32, "struct http1_framing.seen");

uint8_t oa_http1_name_slots[HTTP1_NAME_SLOTS];
bool oa_http1_names_ready;
bool oa_http1_wide;

unsigned oa_http1_name_search(const uint8_t *p, size_t len)
{
	for (unsigned id = 0; id < HTTP1_NAME_COUNT; id++)
		if (oa_http1_names[id].len == len && http1_name_is(p, &oa_http1_names[id]))
			return id;
	return HTTP1_NO_NAME;
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
	if (oa_http1_names_ready)
		return;
	for (unsigned id = 0; id < HTTP1_NAME_COUNT; id++) {
		unsigned slot = http1_name_hash((const uint8_t *)oa_http1_names[id].text, oa_http1_names[id].len);

		while (oa_http1_name_slots[slot])
			slot = (slot + 1) % HTTP1_NAME_SLOTS;
		oa_http1_name_slots[slot] = (uint8_t)(id + 1);
	}
	oa_http1_wide = cpu_has_avx2();
	__atomic_store_n(&oa_http1_names_ready, true, __ATOMIC_RELEASE);
}
