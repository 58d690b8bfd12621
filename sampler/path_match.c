/* Paths against patterns, segment by segment; no backtracking but the one place around `{…}`. */
#include "sampler/keep.h"

/* Cuts text up to the first `end` off `rest`, together with it. */
static struct oa_bytes path_take(struct oa_bytes *rest, uint8_t end)
{
	const uint8_t *at = rest->len ? memchr(rest->ptr, end, rest->len) : NULL;
	size_t n = at ? (size_t)(at - rest->ptr) : rest->len;
	struct oa_bytes taken = oa_bytes(rest->ptr, n);

	*rest = oa_bytes(rest->ptr + n + (at != NULL), rest->len - n - (at != NULL));
	return taken;
}

static bool path_starts(struct oa_bytes text, struct oa_bytes prefix)
{
	return text.len >= prefix.len && oa_bytes_eq(oa_bytes_cut(text, prefix.len), prefix);
}

/* `{id}`, `:id`, `*`, `name`, or one `{…}` with text around it. */
static bool path_segment_match(struct oa_bytes pattern, struct oa_bytes segment)
{
	const uint8_t *open, *close;
	size_t before, after;

	if (pattern.len && (pattern.ptr[0] == ':' || oa_bytes_eq(pattern, OA_LIT("*"))))
		return segment.len > 0;
	open = pattern.len ? memchr(pattern.ptr, '{', pattern.len) : NULL;
	close = open ? memchr(open, '}', pattern.len - (size_t)(open - pattern.ptr)) : NULL;
	if (!close)
		return oa_bytes_eq(pattern, segment);
	before = (size_t)(open - pattern.ptr);
	after = pattern.len - (size_t)(close + 1 - pattern.ptr);
	return segment.len > before + after && memcmp(segment.ptr, pattern.ptr, before) == 0 &&
	       memcmp(segment.ptr + segment.len - after, close + 1, after) == 0;
}

bool oa_path_is_prefix(struct oa_bytes pattern)
{
	return pattern.len && pattern.ptr[pattern.len - 1] == '*';
}

bool oa_path_match(struct oa_bytes pattern, struct oa_bytes path)
{
	for (;;) {
		bool last = !pattern.len || !memchr(pattern.ptr, '/', pattern.len);
		bool path_last = !path.len || !memchr(path.ptr, '/', path.len);
		struct oa_bytes segment;

		if (last && oa_path_is_prefix(pattern)) {
			while (oa_path_is_prefix(pattern))
				pattern.len--;
			return path_starts(path, pattern);
		}
		segment = path_take(&path, '/');
		if (!path_segment_match(path_take(&pattern, '/'), segment))
			return false;
		if (last || path_last)
			return last && path_last;
	}
}

unsigned oa_path_slashes(struct oa_bytes path)
{
	unsigned count = 0;

	for (size_t i = 0; i < path.len; i++)
		count += path.ptr[i] == '/';
	return count;
}

/* 32-bit FNV-1a, never 0. */
static uint32_t path_segment_hash(struct oa_bytes segment)
{
	uint32_t hash = 0x811c9dc5u;

	for (size_t i = 0; i < segment.len; i++)
		hash = (hash ^ segment.ptr[i]) * 0x01000193u;
	return hash | 1;
}

static bool path_segment_is_text(struct oa_bytes pattern)
{
	if (pattern.len && (pattern.ptr[0] == ':' || oa_path_is_prefix(pattern)))
		return false;
	return !pattern.len || !memchr(pattern.ptr, '{', pattern.len);
}

struct oa_rule_sieve oa_path_sieve(struct oa_bytes path, bool pattern)
{
	struct oa_rule_sieve sieve = { { 0 } };

	(void)path_take(&path, '/'); /* what is in front of the first slash */
	for (unsigned i = 0; i < 4 && path.len; i++) {
		struct oa_bytes segment = path_take(&path, '/');

		if (!pattern || path_segment_is_text(segment))
			sieve.segment[i] = path_segment_hash(segment);
	}
	return sieve;
}

struct oa_bytes oa_path_of(struct oa_bytes target)
{
	const uint8_t *end, *from;

	if (target.len > 7 && target.ptr[0] != '/') { /* http://host/path */
		from = memchr(target.ptr, ':', target.len);
		if (from && (size_t)(from - target.ptr) + 3 < target.len && from[1] == '/' && from[2] == '/') {
			from = memchr(from + 3, '/', target.len - (size_t)(from + 3 - target.ptr));
			if (!from)
				return OA_LIT("/");
			target = oa_bytes(from, target.len - (size_t)(from - target.ptr));
		}
	}
	for (end = target.ptr; end < target.ptr + target.len && *end != '?' && *end != '#'; end++)
		;
	return oa_bytes(target.ptr, (size_t)(end - target.ptr));
}
