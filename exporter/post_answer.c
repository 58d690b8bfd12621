#include "exporter/post_answer.h"

#include <stdlib.h>

#define ANSWER_KEEP_MAX 65536

void oa_answer_reset(struct oa_answer *a)
{
	a->len = 0;
	a->too_long = a->head = false;
	a->retry_after[0] = a->grpc_message[0] = a->grpc_details[0] = '\0';
	a->grpc_status = -1;
}

void oa_answer_trim(struct oa_answer *a)
{
	if (a->cap <= ANSWER_KEEP_MAX)
		return;
	free(a->body);
	a->body = NULL;
	a->cap = 0;
}

static bool answer_reserve(struct oa_answer *a, size_t bytes)
{
	size_t more = a->cap ? a->cap : 1024;
	uint8_t *mem;

	if (bytes <= a->cap)
		return true;
	while (more < bytes)
		more *= 2;
	mem = realloc(a->body, more);
	if (!mem)
		return false;
	a->body = mem;
	a->cap = more;
	return true;
}

bool oa_answer_add(struct oa_answer *a, const void *data, size_t len)
{
	if (len > OA_ANSWER_MAX - a->len || !answer_reserve(a, a->len + len)) {
		a->too_long = true;
		return false;
	}
	memcpy(a->body + a->len, data, len);
	a->len += len;
	return true;
}

/* The value when the line is this header. */
static bool answer_is(struct oa_bytes line, const char *name, struct oa_bytes *ret_value)
{
	size_t len = strlen(name);

	if (line.len <= len || line.ptr[len] != ':' || !oa_bytes_ieq(oa_bytes_cut(line, len), oa_bytes_str(name)))
		return false;
	*ret_value = oa_bytes_trim(oa_bytes(line.ptr + len + 1, line.len - len - 1));
	return true;
}

static void answer_copy(char *to, size_t cap, struct oa_bytes value)
{
	if (value.len >= cap)
		return;
	memcpy(to, value.ptr, value.len);
	to[value.len] = '\0';
}

static int answer_hex(uint8_t c)
{
	c = oa_lower(c);
	if ((uint8_t)(c - '0') < 10)
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A bad escape is left as it is: the words are for people. */
static void answer_message(struct oa_answer *a, struct oa_bytes in)
{
	size_t n = 0;

	for (size_t i = 0; i < in.len && n < sizeof(a->grpc_message) - 1; i++) {
		uint8_t c = in.ptr[i];
		int high = c == '%' && i + 2 < in.len ? answer_hex(in.ptr[i + 1]) : -1;
		int low = high >= 0 ? answer_hex(in.ptr[i + 2]) : -1;

		if (low >= 0) {
			c = (uint8_t)(high * 16 + low);
			i += 2;
		}
		a->grpc_message[n++] = c >= ' ' && c < 0x7f ? (char)c : '?';
	}
	a->grpc_message[n] = '\0';
}

static void answer_status(struct oa_answer *a, struct oa_bytes value)
{
	int status = 0;

	for (size_t i = 0; i < value.len && status < 1000; i++) {
		if ((uint8_t)(value.ptr[i] - '0') > 9)
			return;
		status = status * 10 + value.ptr[i] - '0';
	}
	if (value.len)
		a->grpc_status = status;
}

void oa_answer_line(struct oa_answer *a, const char *text, size_t len)
{
	struct oa_bytes line = oa_bytes(text, len), value;

	while (line.len && (line.ptr[line.len - 1] == '\r' || line.ptr[line.len - 1] == '\n'))
		line.len--;
	if (line.len > 5 && memcmp(line.ptr, "HTTP/", 5) == 0)
		oa_answer_reset(a);
	else if (!line.len)
		a->head = true;
	else if (answer_is(line, "retry-after", &value))
		answer_copy(a->retry_after, sizeof(a->retry_after), value);
	else if (answer_is(line, "grpc-status", &value))
		answer_status(a, value);
	else if (answer_is(line, "grpc-message", &value))
		answer_message(a, value);
	else if (answer_is(line, "grpc-status-details-bin", &value))
		answer_copy(a->grpc_details, sizeof(a->grpc_details), value);
}
