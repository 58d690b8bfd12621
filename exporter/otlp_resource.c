#include "exporter/otlp_resource.h"

#include <stdlib.h>

#include "exporter/exporter.h"
#include "exporter/otlp.pb-c.h"
#include "exporter/proc_attrs.h"
#include "exporter/utf8.h"

#define RESOURCE_ATTRS_MAX 128

static struct {
	struct oa_proc_id who;
	uint8_t *message; /* NULL: none yet */
	size_t len;
} resource;

struct resource_tree {
	Oa__Otlp__Resource top;
	Oa__Otlp__KeyValue kv[RESOURCE_ATTRS_MAX], *list[RESOURCE_ATTRS_MAX];
	Oa__Otlp__AnyValue value[RESOURCE_ATTRS_MAX];
};

/* protobuf-c takes strings as they are; those that are not UTF-8 are copied. returns NULL without memory */
static char *resource_text(const char *text)
{
	struct oa_bytes in = oa_bytes_str(text);
	size_t size = oa_utf8_size(in);
	char *copy;

	if (size == in.len)
		return (char *)text;
	copy = malloc(size + 1); /* once per process that is not configured in UTF-8: never given back */
	if (copy)
		*(char *)oa_utf8_put((uint8_t *)copy, in, size) = '\0';
	return copy;
}

static void resource_add(struct resource_tree *t, const struct oa_attr *attr)
{
	size_t i = t->top.n_attributes;
	Oa__Otlp__AnyValue *value = &t->value[i];

	if (i == RESOURCE_ATTRS_MAX)
		return;
	oa__otlp__any_value__init(value);
	if (attr->is_num) {
		value->value_case = OA__OTLP__ANY_VALUE__VALUE_INT_VALUE;
		value->int_value = attr->num;
	} else {
		value->value_case = OA__OTLP__ANY_VALUE__VALUE_STRING_VALUE;
		value->string_value = resource_text(attr->str);
	}
	oa__otlp__key_value__init(&t->kv[i]);
	t->kv[i].key = resource_text(attr->key);
	t->kv[i].value = value;
	t->list[i] = &t->kv[i];
	if (t->kv[i].key && (attr->is_num || value->string_value))
		t->top.n_attributes++;
}

static void resource_fill(struct resource_tree *t, const struct oa_proc_attrs *own)
{
	size_t count;
	const struct oa_attr *attrs = oa_resource_attrs(&count);

	oa__otlp__resource__init(&t->top);
	t->top.attributes = t->list;
	for (unsigned i = 0; i < own->count; i++)
		resource_add(t, &own->attr[i]);
	for (size_t i = 0; i < count; i++)
		resource_add(t, &attrs[i]);
}

static void resource_encode(struct resource_tree *t)
{
	size_t len = oa__otlp__resource__get_packed_size(&t->top);
	uint8_t *message = malloc(len + 1);

	free(resource.message);
	resource.message = message;
	if (message)
		resource.len = oa__otlp__resource__pack(&t->top, message);
}

struct oa_bytes oa_otlp_resource(const struct oa_proc_id *who)
{
	struct oa_proc_attrs own;
	struct resource_tree *t;

	if (resource.message && memcmp(&resource.who, who, sizeof(*who)) == 0)
		return oa_bytes(resource.message, resource.len);
	t = malloc(sizeof(*t));
	if (!t)
		return (struct oa_bytes){ 0 };
	oa_proc_attrs(&own, who);
	resource_fill(t, &own);
	resource_encode(t);
	resource.who = *who;
	free(t);
	return oa_bytes(resource.message, resource.message ? resource.len : 0);
}

void oa_otlp_resource_forget(void)
{
	resource.message = NULL;
}
