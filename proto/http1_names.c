/* The header names the parser looks at, and the choices made once by oa_http1_init(): the table that lines are looked
 * up in, the processor's vector width. Before it oa_http1_plain() reads every block. */
#include "proto/http1_names.h"

#include <cpuid.h>

#define NAME(s) { sizeof(s) - 1, s }

const struct http1_text oa_http1_texts[HTTP1_NAME_COUNT] = {
#define OA_FIELD(id, name) [OA_FIELD_##id] = NAME(name),
#include "proto/http1_fields.def"
#undef OA_FIELD
	[HTTP1_TRANSFER_ENCODING] = NAME("transfer-encoding"),
	[HTTP1_CONTENT_LENGTH] = NAME("content-length"),
	[HTTP1_CONNECTION] = NAME("connection"),
	[HTTP1_EXPECT] = NAME("expect"),
};

#define OA_FIELD(id, name) \
	_Static_assert(sizeof(name) - 1 >= 2 && sizeof(name) - 1 <= HTTP1_NAME_BYTES, "length of " name);
#include "proto/http1_fields.def"
#undef OA_FIELD
_Static_assert(sizeof(struct http1_name) == 32, "two to a cache line");
_Static_assert(sizeof(struct http1_names) < 256 * sizeof(uint64_t), "http1_name_at");

struct http1_names oa_http1_names __attribute__((aligned(64)));
uint8_t oa_http1_vectors;

/* Appends a name to those whose lines begin with the three bytes at `text`. */
static void name_link(const char *text, struct http1_name *name)
{
	char four[4] = { '\n', text[0], text[1], text[2] };
	uint8_t *end = &oa_http1_names.slot[http1_key(oa_load32(four))];

	while (*end)
		end = &((struct http1_name *)(uintptr_t)http1_name_at(*end))->next;
	*end = (uint8_t)(((uintptr_t)name - (uintptr_t)&oa_http1_names) / sizeof(uint64_t));
}

static void name_set(struct http1_name *name, unsigned id)
{
	const struct http1_text *t = &oa_http1_texts[id];
	char text[HTTP1_NAME_BYTES + 8] = { 0 };

	memcpy(text, t->text, t->len);
	*name = (struct http1_name){
		.last_at = t->len > 8 ? (uint8_t)(t->len - 8) : 0, .len = t->len, .ninth = (uint8_t)text[8],
		.id = (uint8_t)id, .mask = (t->len < 8 ? ~(~0ull << 8 * t->len) : ~0ull) & ~HTTP1_LOWER,
	};
	name->first = oa_load64(text);
	name->last = oa_load64(text + name->last_at);
}

/* Names of two letters have in their key what follows them. Of what can follow without a colon only a space gets as far
 * as the table. returns aliases used */
static int name_add(unsigned id, int alias)
{
	char text[HTTP1_NAME_BYTES + 2];

	name_set(&oa_http1_names.name[id], id);
	memcpy(text, oa_http1_texts[id].text, HTTP1_NAME_BYTES + 1);
	if (oa_http1_texts[id].len > 2) {
		name_link(text, &oa_http1_names.name[id]);
		return 0;
	}
	text[2] = ':';
	name_link(text, &oa_http1_names.name[id]);
	if (alias >= HTTP1_NAME_COUNT + HTTP1_ALIASES)
		return 0;
	name_set(&oa_http1_names.name[alias], id);
	text[2] = ' ';
	name_link(text, &oa_http1_names.name[alias]);
	return 1;
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
	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2) && (b & bit_BMI) && (b & bit_BMI2);
}

void oa_http1_init(void)
{
	int alias = HTTP1_NAME_COUNT;

	memset(&oa_http1_names, 0, sizeof(oa_http1_names));
	for (unsigned id = 0; id < HTTP1_NAME_COUNT; id++)
		alias += name_add(id, alias);
	__atomic_store_n(&oa_http1_vectors, cpu_has_avx2() ? HTTP1_AVX2 : HTTP1_SSE2, __ATOMIC_RELEASE);
}
