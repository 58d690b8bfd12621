#include "exporter/otlp_response.h"

#include "exporter/otlp.pb-c.h"

static void answer_say(struct oa_otlp_answer *a, const char *text)
{
	size_t n = 0;

	for (; text && *text && n < sizeof(a->message) - 1; text++)
		a->message[n++] = *text >= ' ' && *text < 0x7f ? *text : '?';
	a->message[n] = '\0';
}

void oa_otlp_read_success(struct oa_bytes body, struct oa_otlp_answer *ret_answer)
{
	Oa__Otlp__ExportTraceServiceResponse *r;

	*ret_answer = (struct oa_otlp_answer){ 0 };
	if (!body.len)
		return;
	r = oa__otlp__export_trace_service_response__unpack(NULL, body.len, body.ptr);
	if (!r)
		return;
	if (r->partial_success) {
		if (r->partial_success->rejected_spans > 0)
			ret_answer->rejected = (uint64_t)r->partial_success->rejected_spans;
		answer_say(ret_answer, r->partial_success->error_message);
	}
	oa__otlp__export_trace_service_response__free_unpacked(r, NULL);
}

void oa_otlp_read_error(struct oa_bytes body, struct oa_otlp_answer *ret_answer)
{
	Oa__Otlp__RpcStatus *status;

	*ret_answer = (struct oa_otlp_answer){ 0 };
	if (!body.len)
		return;
	status = oa__otlp__rpc_status__unpack(NULL, body.len, body.ptr);
	if (!status)
		return;
	answer_say(ret_answer, status->message);
	oa__otlp__rpc_status__free_unpacked(status, NULL);
}
