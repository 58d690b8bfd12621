/* Route patterns of the user: OTELAUTO_ROUTES, tried in order. */
#define OA_LOG_DOMAIN "routes"
#include "core/log.h"
#include "pipeline/route.h"
#include "sampler/keep.h"

#define PATTERNS_MAX 256

static struct oa_bytes patterns[PATTERNS_MAX];
static unsigned pattern_count;

/* Cuts text up to the first `end` off `rest`, together with it. */
static struct oa_bytes pattern_take(struct oa_bytes *rest, uint8_t end)
{
	const uint8_t *at = rest->len ? memchr(rest->ptr, end, rest->len) : NULL;
	size_t n = at ? (size_t)(at - rest->ptr) : rest->len;
	struct oa_bytes taken = oa_bytes(rest->ptr, n);

	*rest = oa_bytes(rest->ptr + n + (at != NULL), rest->len - n - (at != NULL));
	return taken;
}

bool oa_route_pattern_match(struct oa_bytes pattern, struct oa_bytes path)
{
	return oa_path_match(pattern, path);
}

struct oa_bytes oa_route_pattern_find(struct oa_bytes path)
{
	for (unsigned i = 0; i < pattern_count; i++)
		if (oa_route_pattern_match(patterns[i], path))
			return patterns[i];
	return (struct oa_bytes){ 0 };
}

static bool pattern_valid(struct oa_bytes p)
{
	for (size_t i = 0; i < p.len; i++)
		if (p.ptr[i] <= 0x20 || p.ptr[i] >= 0x7f || p.ptr[i] == '"' || p.ptr[i] == '\\')
			return false;
	return p.ptr[0] == '/' && p.len <= OA_ROUTE_MAX;
}

void oa_route_patterns_read(const char *list)
{
	struct oa_bytes rest = oa_bytes_str(list);

	pattern_count = 0;
	while (rest.len) {
		struct oa_bytes p = oa_bytes_trim(pattern_take(&rest, ','));

		if (!p.len)
			continue;
		if (!pattern_valid(p) || pattern_count == PATTERNS_MAX)
			oa_warn("OTELAUTO_ROUTES: ignoring \"%.*s\": a pattern starts with `/`, is "
				"plain ASCII and at most %d long",
				(int)p.len, (const char *)p.ptr, OA_ROUTE_MAX);
		else
			patterns[pattern_count++] = p;
	}
}
