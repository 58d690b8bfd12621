#pragma once
/* A second reading of PROXY headers, by libc's own functions, to compare with; and what must hold for each of their beginnings. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "proto/proxy_line.h"

static inline void proxy_line_reference_addr(int family, const void *ip, unsigned port, struct oa_addr *ret)
{
	struct in6_addr v6;

	ret->family = family == AF_INET ? 4 : 6;
	ret->port = (uint16_t)port;
	memcpy(ret->ip, ip, family == AF_INET ? 4 : 16);
	memcpy(&v6, ip, family == AF_INET ? 4 : 16);
	if (family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6)) {
		memset(ret->ip, 0, sizeof(ret->ip));
		memcpy(ret->ip, (const uint8_t *)ip + 12, 4);
		ret->family = 4;
	}
}

static inline bool proxy_line_reference_port(const char *text, long *ret)
{
	size_t len = strlen(text);

	*ret = strtol(text, NULL, 10);
	return len && len <= 5 && strspn(text, "0123456789") == len && *ret <= 65535;
}

/* text: the line without its end, behind "PROXY " */
static inline bool proxy_line_reference_text(char *text, struct oa_addr *ret)
{
	char *word[5], *rest = text;
	unsigned char ip[16], other[16];
	long port, other_port;
	int family, n = 0;

	if (!strncmp(text, "UNKNOWN", 7))
		return !text[7] || text[7] == ' ';
	while (n < 5 && rest)
		word[n++] = strsep(&rest, " ");
	if (n < 5 || rest || strncmp(word[0], "TCP", 3) || (strcmp(word[0], "TCP4") && strcmp(word[0], "TCP6")))
		return false;
	family = word[0][3] == '4' ? AF_INET : AF_INET6;
	if (inet_pton(family, word[1], ip) != 1 || inet_pton(family, word[2], other) != 1 ||
	    !proxy_line_reference_port(word[3], &port) || !proxy_line_reference_port(word[4], &other_port))
		return false;
	proxy_line_reference_addr(family, ip, (unsigned)port, ret);
	return true;
}

static inline long proxy_line_reference_v1(struct oa_bytes in, struct oa_addr *ret)
{
	char line[OA_PROXY_LINE_BEGIN + 1] = { 0 };
	const uint8_t *end = memchr(in.ptr, '\n', in.len);
	size_t len = end ? (size_t)(end - in.ptr) + 1 : 0;

	if (!end || len > OA_PROXY_LINE_BEGIN || len < 8 || in.ptr[len - 2] != '\r')
		return -EPROTO;
	memcpy(line, in.ptr, len - 2);
	if (strlen(line) != len - 2 && !(strlen(line) >= 13 && !strncmp(line, "PROXY UNKNOWN ", 14)))
		return -EPROTO; /* a NUL, where no text may follow */
	return proxy_line_reference_text(line + 6, ret) ? (long)len : -EPROTO;
}

static inline long proxy_line_reference_v2(struct oa_bytes in, struct oa_addr *ret)
{
	size_t len = in.len < 16 ? 0 : 16 + ((size_t)in.ptr[14] << 8 | in.ptr[15]);
	const uint8_t *a = in.ptr + 16;

	if (in.len < 16 || in.ptr[12] >> 4 != 2 || (in.ptr[12] & 15) > 1 || len > OA_PROXY_LINE_MAX)
		return -EPROTO;
	if (!(in.ptr[12] & 1) || (in.ptr[13] != 0x11 && in.ptr[13] != 0x21))
		return (long)len;
	if (len < (in.ptr[13] == 0x11 ? 28 : 52) || in.len < (in.ptr[13] == 0x11 ? 28 : 52))
		return -EPROTO;
	if (in.ptr[13] == 0x11)
		proxy_line_reference_addr(AF_INET, a, (unsigned)a[8] << 8 | a[9], ret);
	else
		proxy_line_reference_addr(AF_INET6, a, (unsigned)a[32] << 8 | a[33], ret);
	return (long)len;
}

/* Of bytes to which nothing will be added. */
static inline long proxy_line_reference(struct oa_bytes in, struct oa_addr *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (in.len >= 6 && !memcmp(in.ptr, "PROXY ", 6))
		return proxy_line_reference_v1(in, ret);
	if (in.len >= 12 && !memcmp(in.ptr, "\r\n\r\n\0\r\nQUIT\n", 12))
		return proxy_line_reference_v2(in, ret);
	return -EPROTO;
}

/* returns what is wrong, NULL when nothing is */
static inline const char *proxy_line_check(const uint8_t *data, size_t size)
{
	struct oa_addr want;
	long whole = proxy_line_reference(oa_bytes(data, size), &want), before = 0;

	for (size_t n = 1; n <= size && n <= OA_PROXY_LINE_BEGIN + 1; n++) {
		struct oa_proxy_line line = { .client.family = 99 };
		uint8_t *copy = malloc(n); /* nothing lies behind it */
		long len;

		memcpy(copy, data, n);
		len = oa_proxy_line_parse(oa_bytes(copy, n), &line);
		free(copy);
		if (len <= 0 && line.client.family != 99)
			return "told something without a header";
		if (len > 0 && (len != whole || memcmp(&line.client, &want, sizeof(want))))
			return "another header than the reference finds";
		if (before && len != before)
			return "changed its mind with more bytes";
		if (len < 0 && whole > 0)
			return "refused the beginning of a header";
		if (!len && n == size && whole > 0)
			return "still waits when all is there";
		if (!len && n > OA_PROXY_LINE_BEGIN)
			return "waits for more than is ever needed";
		if (len >= 0 && !oa_proxy_line_may_begin(data[0]))
			return "a header that cannot begin so";
		before = len;
	}
	return before < 0 && whole > 0 ? "refused a header" : NULL;
}
