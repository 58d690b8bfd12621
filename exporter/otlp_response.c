#include "exporter/otlp_response.h"

#include <cjson/cJSON.h>

#include "exporter/otlp.pb-c.h"

#define ANSWER_JSON_MAX 65536 /* longer ones are not worth a parse */

static void answer_say(char to[OA_OTLP_TEXT_MAX], const char *text)
{
	size_t n = 0;

	for (; text && *text && n < OA_OTLP_TEXT_MAX - 1; text++)
		to[n++] = *text >= ' ' && *text < 0x7f ? *text : '?';
	to[n] = '\0';
}

/* -- JSON -- */

static cJSON *answer_parse(struct oa_bytes body)
{
	return body.len && body.len <= ANSWER_JSON_MAX ? cJSON_ParseWithLength((const char *)body.ptr, body.len) : NULL;
}

/* proto3 writes numbers of 64 bits as texts; both are read. */
static uint64_t answer_number(const cJSON *item)
{
	const char *text = cJSON_GetStringValue(item);
	uint64_t value = 0;

	if (!text)
		return cJSON_IsNumber(item) && item->valuedouble > 0 ? (uint64_t)item->valuedouble : 0;
	for (; *text >= '0' && *text <= '9' && value < UINT64_MAX / 20; text++)
		value = value * 10 + (uint64_t)(*text - '0');
	return value;
}

static uint64_t answer_json_success(struct oa_bytes body, char ret_text[OA_OTLP_TEXT_MAX])
{
	cJSON *top = answer_parse(body);
	const cJSON *partial = cJSON_GetObjectItemCaseSensitive(top, "partialSuccess");
	const cJSON *spans = cJSON_GetObjectItemCaseSensitive(partial, "rejectedSpans");
	const cJSON *points = cJSON_GetObjectItemCaseSensitive(partial, "rejectedDataPoints");
	uint64_t rejected = answer_number(spans ? spans : points);

	answer_say(ret_text, cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(partial, "errorMessage")));
	cJSON_Delete(top);
	return rejected;
}

static void answer_json_error(struct oa_bytes body, char ret_text[OA_OTLP_TEXT_MAX])
{
	cJSON *top = answer_parse(body);

	answer_say(ret_text, cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(top, "message")));
	cJSON_Delete(top);
}

/* -- protobuf; the answers for traces and metrics differ in names only -- */

uint64_t oa_otlp_read_success(struct oa_bytes body, bool json, char ret_text[OA_OTLP_TEXT_MAX])
{
	Oa__Otlp__ExportTraceServiceResponse *r;
	uint64_t rejected = 0;

	ret_text[0] = '\0';
	if (json)
		return answer_json_success(body, ret_text);
	r = body.len ? oa__otlp__export_trace_service_response__unpack(NULL, body.len, body.ptr) : NULL;
	if (!r)
		return 0;
	if (r->partial_success) {
		if (r->partial_success->rejected_spans > 0)
			rejected = (uint64_t)r->partial_success->rejected_spans;
		answer_say(ret_text, r->partial_success->error_message);
	}
	oa__otlp__export_trace_service_response__free_unpacked(r, NULL);
	return rejected;
}

void oa_otlp_read_error(struct oa_bytes body, bool json, char ret_text[OA_OTLP_TEXT_MAX])
{
	Oa__Otlp__RpcStatus *status;

	ret_text[0] = '\0';
	if (json) {
		answer_json_error(body, ret_text);
		return;
	}
	status = body.len ? oa__otlp__rpc_status__unpack(NULL, body.len, body.ptr) : NULL;
	if (!status)
		return;
	answer_say(ret_text, status->message);
	oa__otlp__rpc_status__free_unpacked(status, NULL);
}
