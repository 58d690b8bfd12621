/* target_info: the resource as labels. */
#include "exporter/prom_text.h"

#include <stdlib.h>

#include "exporter/exporter.h"

#define TARGET_ATTRS_MAX 128

/* The name of an attribute as a label name: what is not allowed becomes _, runs of _ are one, and a
 * digit does not come first. returns its length */
static size_t target_label_name(char *to, size_t cap, const char *key)
{
	size_t len = 0;

	if (*key >= '0' && *key <= '9')
		to[len++] = '_';
	for (; *key && len < cap; key++) {
		uint8_t c = (uint8_t)*key;
		bool keep = (uint8_t)(oa_lower(c) - 'a') < 26 || (uint8_t)(c - '0') < 10;

		if (keep)
			to[len++] = (char)c;
		else if (!len || to[len - 1] != '_')
			to[len++] = '_';
	}
	return len;
}

static int target_by_key(const void *a, const void *b)
{
	const struct oa_attr *const *x = a, *const *y = b;

	return strcmp((*x)->key, (*y)->key);
}

static void target_value(struct oa_prom_out *o, const struct oa_attr *a)
{
	if (!a->is_num) {
		oa_prom_label_value(o, oa_bytes_str(a->str));
		return;
	}
	if (a->num < 0)
		oa_prom_lit(o, "-");
	oa_prom_put_uint(o, a->num < 0 ? 0 - (uint64_t)a->num : (uint64_t)a->num);
}

/* Keys that become the same label share it: their values are joined in the order of the keys. */
static void target_label(struct oa_prom_out *o, const struct oa_attr **attrs, size_t count,
			 size_t first)
{
	char name[128], other[128];
	size_t len = target_label_name(name, sizeof(name), attrs[first]->key);

	if (!len)
		return;
	for (size_t i = 0; i < first; i++)
		if (target_label_name(other, sizeof(other), attrs[i]->key) == len &&
		    !memcmp(name, other, len))
			return;
	if (o->mem[o->len - 1] != '{')
		oa_prom_lit(o, ",");
	oa_prom_bytes(o, name, len);
	oa_prom_lit(o, "=\"");
	target_value(o, attrs[first]);
	for (size_t i = first + 1; i < count; i++) {
		if (target_label_name(other, sizeof(other), attrs[i]->key) != len ||
		    memcmp(name, other, len))
			continue;
		oa_prom_lit(o, ";");
		target_value(o, attrs[i]);
	}
	oa_prom_lit(o, "\"");
}

void oa_prom_target(struct oa_prom_out *o)
{
	const struct oa_attr *sorted[TARGET_ATTRS_MAX], *attrs;
	size_t count;

	attrs = oa_resource_attrs(&count);
	count = count < TARGET_ATTRS_MAX ? count : TARGET_ATTRS_MAX;
	for (size_t i = 0; i < count; i++)
		sorted[i] = &attrs[i];
	qsort(sorted, count, sizeof(*sorted), target_by_key);
	oa_prom_family(o, "target", OA_PROM_INFO, NULL, "Attributes of the resource.");
	oa_prom_lit(o, "target_info{");
	for (size_t i = 0; i < count && !o->failed; i++)
		target_label(o, sorted, count, i);
	oa_prom_lit(o, "} 1\n");
}
