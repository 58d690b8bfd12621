#include "exporter/grpc.h"

#include "exporter/otlp.pb-c.h"

#define GRPC_DETAILS_MAX 1024
#define GRPC_RETRY_MAX_S (1 << 24) /* half a year: past every deadline */

void oa_grpc_prefix(uint8_t ret_prefix[OA_GRPC_PREFIX], bool compressed, size_t len)
{
	ret_prefix[0] = compressed;
	for (unsigned i = 0; i < 4; i++)
		ret_prefix[1 + i] = (uint8_t)(len >> (24 - 8 * i));
}

bool oa_grpc_message(struct oa_bytes body, struct oa_bytes *ret_message)
{
	size_t len = 0;

	if (body.len < OA_GRPC_PREFIX || body.ptr[0])
		return false;
	for (unsigned i = 1; i < OA_GRPC_PREFIX; i++)
		len = len << 8 | body.ptr[i];
	if (len > body.len - OA_GRPC_PREFIX)
		return false;
	*ret_message = oa_bytes(body.ptr + OA_GRPC_PREFIX, len);
	return true;
}

enum oa_grpc_code oa_grpc_of_http(unsigned status)
{
	switch (status) {
	case 400: return OA_GRPC_INTERNAL;
	case 401: return OA_GRPC_UNAUTHENTICATED;
	case 403: return OA_GRPC_PERMISSION_DENIED;
	case 404: return OA_GRPC_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504: return OA_GRPC_UNAVAILABLE;
	default: return OA_GRPC_UNKNOWN;
	}
}

bool oa_grpc_passes(int code, bool has_retry_info)
{
	switch (code) {
	case OA_GRPC_CANCELLED:
	case OA_GRPC_DEADLINE_EXCEEDED:
	case OA_GRPC_ABORTED:
	case OA_GRPC_OUT_OF_RANGE:
	case OA_GRPC_UNAVAILABLE:
	case OA_GRPC_DATA_LOSS: return true;
	default: return code == OA_GRPC_RESOURCE_EXHAUSTED && has_retry_info;
	}
}

const char *oa_grpc_name(int code)
{
	static const char *const names[OA_GRPC_CODES] = {
		"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
		"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
		"UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
	};

	return code >= 0 && code < OA_GRPC_CODES ? names[code] : "UNKNOWN";
}

/* -- RetryInfo -- */

static int grpc_base64_digit(uint8_t c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Padding is optional. returns the length, -1 when it is no base64 or too long */
static long grpc_base64(uint8_t to[GRPC_DETAILS_MAX], struct oa_bytes in)
{
	uint32_t bits = 0;
	unsigned have = 0;
	long len = 0;

	while (in.len && in.ptr[in.len - 1] == '=')
		in.len--;
	for (size_t i = 0; i < in.len; i++) {
		int digit = grpc_base64_digit(in.ptr[i]);

		if (digit < 0)
			return -1;
		bits = bits << 6 | (uint32_t)digit;
		have += 6;
		if (have < 8)
			continue;
		if (len == GRPC_DETAILS_MAX)
			return -1;
		have -= 8;
		to[len++] = (uint8_t)(bits >> have);
	}
	return len;
}

static int64_t grpc_retry_of(const ProtobufCBinaryData *value)
{
	Oa__Otlp__RetryInfo *info = oa__otlp__retry_info__unpack(NULL, value->len, value->data);
	const Oa__Otlp__Duration *d = info ? info->retry_delay : NULL;
	int64_t ms = -1;

	if (d && d->seconds >= 0 && d->nanos >= 0) /* rounded up: never before that */
		ms = (d->seconds < GRPC_RETRY_MAX_S ? d->seconds : GRPC_RETRY_MAX_S) * 1000 + (d->nanos + 999999) / 1000000;
	if (info)
		oa__otlp__retry_info__free_unpacked(info, NULL);
	return ms;
}

int64_t oa_grpc_retry_ms(struct oa_bytes details)
{
	static const char type[] = "/google.rpc.RetryInfo";
	uint8_t bytes[GRPC_DETAILS_MAX];
	long len = grpc_base64(bytes, details);
	Oa__Otlp__RpcStatus *status = len > 0 ? oa__otlp__rpc_status__unpack(NULL, (size_t)len, bytes) : NULL;
	int64_t ms = -1;

	for (size_t i = 0; status && i < status->n_details; i++) {
		const char *url = status->details[i]->type_url;
		size_t n = strlen(url);

		if (n >= sizeof(type) - 1 && !strcmp(url + n - (sizeof(type) - 1), type))
			ms = grpc_retry_of(&status->details[i]->value);
	}
	if (status)
		oa__otlp__rpc_status__free_unpacked(status, NULL);
	return ms;
}
