/* YAML by libyaml's events, made into a tree of cJSON's. Anchors and aliases are not taken: a file of a few kilobytes
 * could stand for gigabytes. */
#include <string.h>

#include <cjson/cJSON.h>
#include <yaml.h>

#include "preload/config_file.h"

#define YAML_DEPTH_MAX 24

static yaml_parser_t yaml_parser; /* too large for the stack of a host's thread */

struct yaml_build {
	cJSON *top;
	cJSON *stack[YAML_DEPTH_MAX];
	char key[256]; /* of the object on top of the stack; "" : a key comes next */
	unsigned depth;
	const char *wrong;
};

static struct yaml_build yaml_build; /* likewise */

static void yaml_add(struct yaml_build *b, cJSON *item)
{
	cJSON *in = b->depth ? b->stack[b->depth - 1] : NULL;

	if (!item) {
		b->wrong = "there is no memory for it";
	} else if (!in) {
		b->top = item;
	} else if (cJSON_IsArray(in)) {
		(void)cJSON_AddItemToArray(in, item);
	} else {
		if (cJSON_GetObjectItemCaseSensitive(in, b->key))
			b->wrong = "it has a key twice";
		(void)cJSON_AddItemToObject(in, b->key, item);
		b->key[0] = '\0';
	}
}

static void yaml_push(struct yaml_build *b, cJSON *item)
{
	if (b->depth && !cJSON_IsArray(b->stack[b->depth - 1]) && !b->key[0])
		b->wrong = "it has a key that is no text";
	yaml_add(b, item);
	if (b->depth == YAML_DEPTH_MAX)
		b->wrong = "it is nested too deeply";
	else
		b->stack[b->depth++] = item;
	b->key[0] = '\0';
}

static bool yaml_is_null(const yaml_event_t *e, const char *text)
{
	return e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (!*text || !strcmp(text, "~") || !strcmp(text, "null") || !strcmp(text, "Null") || !strcmp(text, "NULL"));
}

static void yaml_scalar(struct yaml_build *b, const yaml_event_t *e)
{
	const char *text = (const char *)e->data.scalar.value;
	bool in_object = b->depth && cJSON_IsObject(b->stack[b->depth - 1]);

	if (strlen(text) != e->data.scalar.length) {
		b->wrong = "it has a NUL";
	} else if (in_object && !b->key[0]) {
		if (!*text || strlen(text) >= sizeof(b->key))
			b->wrong = "it has a key that is empty or too long";
		else
			memcpy(b->key, text, strlen(text) + 1);
	} else {
		text = oa_config_env_expand(text);
		if (!text)
			b->wrong = "it has a reference to a variable that is malformed";
		else
			yaml_add(b, yaml_is_null(e, text) ? cJSON_CreateNull() : cJSON_CreateString(text));
	}
}

static void yaml_event(struct yaml_build *b, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		yaml_scalar(b, e);
		break;
	case YAML_MAPPING_START_EVENT:
		yaml_push(b, cJSON_CreateObject());
		break;
	case YAML_SEQUENCE_START_EVENT:
		yaml_push(b, cJSON_CreateArray());
		break;
	case YAML_MAPPING_END_EVENT:
	case YAML_SEQUENCE_END_EVENT:
		b->depth--;
		b->key[0] = '\0';
		break;
	case YAML_ALIAS_EVENT:
		b->wrong = "it has an alias";
		break;
	default:
		break;
	}
}

static void yaml_run(struct yaml_build *b)
{
	static yaml_event_t e;
	bool end = false;

	while (!end && !b->wrong) {
		if (!yaml_parser_parse(&yaml_parser, &e)) {
			b->wrong = "it is no YAML";
			return;
		}
		end = e.type == YAML_STREAM_END_EVENT || e.type == YAML_DOCUMENT_END_EVENT; /* the first document */
		yaml_event(b, &e);
		yaml_event_delete(&e);
	}
}

cJSON *oa_config_yaml(struct oa_bytes text, const char **ret_wrong)
{
	memset(&yaml_build, 0, sizeof(yaml_build));
	if (!yaml_parser_initialize(&yaml_parser)) {
		*ret_wrong = "there is no memory for it";
		return NULL;
	}
	yaml_parser_set_input_string(&yaml_parser, text.ptr, text.len);
	yaml_run(&yaml_build);
	yaml_parser_delete(&yaml_parser);
	if (!yaml_build.wrong)
		return yaml_build.top;
	*ret_wrong = yaml_build.wrong;
	cJSON_Delete(yaml_build.top);
	return NULL;
}
