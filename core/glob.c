#include "core/bytes.h"
#include "core/config.h"
#include "core/config_value.h"

/* Greedy with one point to come back to: linear in practice, no recursion whatever the pattern. */
bool oa_glob_match_bytes(struct oa_bytes pattern, struct oa_bytes text)
{
	size_t p = 0, t = 0, star = SIZE_MAX, resume = 0;

	while (t < text.len) {
		if (p < pattern.len && pattern.ptr[p] == '*') {
			star = p++;
			resume = t;
		} else if (p < pattern.len &&
			   (pattern.ptr[p] == '?' || pattern.ptr[p] == text.ptr[t])) {
			p++;
			t++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			t = ++resume;
		} else {
			return false;
		}
	}
	while (p < pattern.len && pattern.ptr[p] == '*')
		p++;
	return p == pattern.len;
}

bool oa_glob_match(const char *pattern, const char *text)
{
	return oa_glob_match_bytes(oa_bytes_str(pattern), oa_bytes_str(text));
}

bool oa_glob_list_match(const char *list, const char *name)
{
	struct oa_bytes text = oa_bytes_str(name), rest = oa_bytes_str(list), item;

	while (oa_value_next_item(&rest, &item))
		if (item.len && oa_glob_match_bytes(item, text))
			return true;
	return false;
}
