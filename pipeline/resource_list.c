/* The list of resource attributes: fixed memory, one value per key. */
#include <errno.h>

#include "pipeline/resource.h"

static struct oa_attr *resource_find(struct oa_resource *r, const char *key)
{
	for (size_t i = 0; i < r->count; i++)
		if (strcmp(r->attrs[i].key, key) == 0)
			return &r->attrs[i];
	return NULL;
}

/* A copy with an end mark; NULL when it does not fit. */
static const char *resource_keep(struct oa_resource *r, struct oa_bytes text)
{
	char *at = r->text + r->text_len;

	if (text.len >= sizeof(r->text) - r->text_len)
		return NULL;
	memcpy(at, text.ptr, text.len);
	at[text.len] = '\0';
	r->text_len += text.len + 1;
	return at;
}

void oa_resource_set(struct oa_resource *r, const char *key, struct oa_bytes value)
{
	struct oa_attr *a = resource_find(r, key);
	const char *text;

	if (!value.len || (!a && r->count == OA_RESOURCE_ATTRS_MAX))
		return;
	text = resource_keep(r, value);
	if (!text)
		return;
	if (!a)
		a = &r->attrs[r->count++];
	*a = (struct oa_attr){ .key = key, .str = text };
}

void oa_resource_default(struct oa_resource *r, const char *key, struct oa_bytes value)
{
	if (!resource_find(r, key))
		oa_resource_set(r, key, value);
}

struct oa_bytes oa_resource_get(const struct oa_resource *r, const char *key)
{
	const struct oa_attr *a = resource_find((struct oa_resource *)(uintptr_t)r, key);

	return oa_bytes_str(a ? a->str : NULL);
}

static int resource_hex(uint8_t c)
{
	if ((uint8_t)(c - '0') < 10)
		return c - '0';
	c = oa_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool resource_utf8(const uint8_t *p, size_t len)
{
	static const uint32_t lowest[] = { 0, 0, 0x80, 0x800, 0x10000 };

	for (size_t i = 0, n; i < len; i += n) {
		uint32_t c = p[i];

		n = c < 0x80    ? 1
		    : c >= 0xf8 ? 0
		    : c >= 0xf0 ? 4
		    : c >= 0xe0 ? 3
		    : c >= 0xc0 ? 2
				: 0;
		if (!n || n > len - i || !c)
			return false;
		c &= n == 1 ? 0x7f : 0xffu >> (n + 1);
		for (size_t k = 1; k < n; k++) {
			if ((p[i + k] & 0xc0) != 0x80)
				return false;
			c = c << 6 | (p[i + k] & 0x3f);
		}
		if (c < lowest[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
			return false;
	}
	return true;
}

/* Percent-decoded copy with an end mark; NULL when it is not valid or does not fit. */
static const char *resource_decode(struct oa_resource *r, struct oa_bytes text)
{
	uint8_t *at = (uint8_t *)r->text + r->text_len;
	size_t n = 0;

	if (text.len >= sizeof(r->text) - r->text_len)
		return NULL;
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.ptr[i];

		if (c == '%') {
			int high = i + 2 < text.len ? resource_hex(text.ptr[i + 1]) : -1;
			int low = high < 0 ? -1 : resource_hex(text.ptr[i + 2]);

			if (low < 0)
				return NULL;
			c = (uint8_t)(high * 16 + low);
			i += 2;
		}
		at[n++] = c;
	}
	if (!resource_utf8(at, n))
		return NULL;
	at[n] = '\0';
	r->text_len += n + 1;
	return (const char *)at;
}

static struct oa_bytes resource_take(struct oa_bytes *rest, uint8_t end)
{
	const uint8_t *at = rest->len ? memchr(rest->ptr, end, rest->len) : NULL;
	size_t n = at ? (size_t)(at - rest->ptr) : rest->len;
	struct oa_bytes taken = oa_bytes(rest->ptr, n);

	*rest = oa_bytes(rest->ptr + n + (at != NULL), rest->len - n - (at != NULL));
	return taken;
}

static int resource_parse_member(struct oa_resource *r, struct oa_bytes member)
{
	struct oa_bytes key = resource_take(&member, '=');
	bool has_value = key.ptr + key.len != member.ptr || member.len;
	const char *key_text, *value_text;
	struct oa_attr *a;

	key = oa_bytes_trim(key);
	if (!key.len || !has_value)
		return -EINVAL;
	key_text = resource_decode(r, key);
	value_text = key_text ? resource_decode(r, oa_bytes_trim(member)) : NULL;
	if (!value_text)
		return -EINVAL;
	a = resource_find(r, key_text);
	if (!a && r->count == OA_RESOURCE_ATTRS_MAX)
		return -EINVAL;
	if (!a)
		a = &r->attrs[r->count++];
	*a = (struct oa_attr){ .key = key_text, .str = value_text };
	return 0;
}

int oa_resource_parse_env(struct oa_resource *r, const char *list)
{
	struct oa_bytes rest = oa_bytes_str(list);
	size_t count = r->count, text_len = r->text_len;

	while (rest.len) {
		struct oa_bytes member = oa_bytes_trim(resource_take(&rest, ','));

		if (!member.len || resource_parse_member(r, member) == 0)
			continue;
		/* Any error discards the whole variable. It is read into an empty list, so nothing
		 * was replaced. */
		r->count = count;
		r->text_len = text_len;
		return -EINVAL;
	}
	return 0;
}
