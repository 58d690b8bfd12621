/* A header of either version in one look at its beginning. What lies behind the addresses of version 2 is passed over. */
#include <arpa/inet.h>
#include <errno.h>

#include "core/attr.h"
#include "core/limits.h"
#include "proto/proxy_line.h"

#define V1_BEGIN  "PROXY "
#define V2_BEGIN  "\r\n\r\n\0\r\nQUIT\n"
#define V2_HEAD   16
#define V2_LOCAL  0
#define V2_PROXY  1
#define V2_TCP4   0x11
#define V2_TCP6   0x21

/* One is the beginning of the other, or both are the same. */
static bool line_begins(struct oa_bytes in, struct oa_bytes with)
{
	return !memcmp(in.ptr, with.ptr, in.len < with.len ? in.len : with.len);
}

static void line_set_v4(struct oa_addr *a, const uint8_t ip[4])
{
	a->family = 4;
	memcpy(a->ip, ip, 4);
}

static void line_set_v6(struct oa_addr *a, const uint8_t ip[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (!memcmp(ip, mapped, sizeof(mapped))) {
		line_set_v4(a, ip + 12);
		return;
	}
	a->family = 6;
	memcpy(a->ip, ip, 16);
}

/* -- version 1 -- */

/* Takes the text in front of the next space, and the space; or all of it. */
static struct oa_bytes line_word(struct oa_bytes *rest)
{
	const uint8_t *space = rest->len ? memchr(rest->ptr, ' ', rest->len) : NULL;
	struct oa_bytes word = space ? oa_bytes(rest->ptr, (size_t)(space - rest->ptr)) : *rest;

	*rest = space ? oa_bytes(space + 1, rest->len - word.len - 1) : oa_bytes(rest->ptr + rest->len, 0);
	return word;
}

/* returns -1 when it is no number up to `max`, or has more digits than that */
static long line_number(struct oa_bytes text, unsigned digits, long max)
{
	long n = 0;

	if (!text.len || text.len > digits)
		return -1;
	for (size_t i = 0; i < text.len; i++) {
		if ((uint8_t)(text.ptr[i] - '0') > 9)
			return -1;
		n = n * 10 + (text.ptr[i] - '0');
	}
	return n <= max ? n : -1;
}

static bool line_address(struct oa_bytes text, int family, uint8_t ret_ip[16])
{
	char name[INET6_ADDRSTRLEN];

	if (text.len >= sizeof(name) || memchr(text.ptr, 0, text.len))
		return false;
	memcpy(name, text.ptr, text.len);
	name[text.len] = '\0';
	return inet_pton(family, name, ret_ip) == 1;
}

/* "SOURCE DESTINATION SOURCE-PORT DESTINATION-PORT" */
static bool line_addresses(struct oa_bytes rest, unsigned family, struct oa_addr *ret)
{
	struct oa_bytes from = line_word(&rest), to = line_word(&rest), port = line_word(&rest);
	int af = family == 4 ? AF_INET : AF_INET6;
	uint8_t ip[16], other[16];

	if (!line_address(from, af, ip) || !line_address(to, af, other))
		return false;
	if (line_number(port, 5, 65535) < 0 || line_number(rest, 5, 65535) < 0)
		return false;
	if (family == 4)
		line_set_v4(ret, ip);
	else
		line_set_v6(ret, ip);
	ret->port = (uint16_t)line_number(port, 5, 65535);
	return true;
}

static const struct {
	struct oa_bytes word;
	unsigned family;
} line_families[] = {
	{ { (const uint8_t *)"TCP4 ", 5 }, 4 },
	{ { (const uint8_t *)"TCP6 ", 5 }, 6 },
	{ { (const uint8_t *)"UNKNOWN", 7 }, 0 }, /* whatever follows */
};

static long line_v1(struct oa_bytes in, struct oa_proxy_line *ret)
{
	const size_t begin = sizeof(V1_BEGIN) - 1;
	struct oa_bytes rest = in.len > begin ? oa_bytes(in.ptr + begin, in.len - begin) : oa_bytes(in.ptr, 0);
	const uint8_t *end = memchr(in.ptr, '\n', in.len < OA_PROXY_LINE_BEGIN ? in.len : OA_PROXY_LINE_BEGIN);
	unsigned i = 0;

	while (i < 3 && !line_begins(rest, line_families[i].word))
		i++;
	if (i == 3 || (!end && in.len >= OA_PROXY_LINE_BEGIN))
		return -EPROTO;
	if (!end)
		return 0;
	/* No word has a line end in it, so there is all of it. */
	rest = oa_bytes(rest.ptr + line_families[i].word.len, (size_t)(end - rest.ptr) - line_families[i].word.len);
	if (!rest.len || rest.ptr[--rest.len] != '\r')
		return -EPROTO;
	if (line_families[i].family && !line_addresses(rest, line_families[i].family, &ret->client))
		return -EPROTO;
	if (!line_families[i].family && rest.len && rest.ptr[0] != ' ')
		return -EPROTO;
	return end - in.ptr + 1;
}

/* -- version 2 -- */

static unsigned line_be16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static long line_v2(struct oa_bytes in, struct oa_proxy_line *ret)
{
	const uint8_t *addresses = in.ptr + V2_HEAD;
	size_t len, needed = 0;

	if (in.len < V2_HEAD)
		return 0;
	len = line_be16(in.ptr + 14);
	if (in.ptr[12] == (0x20 | V2_PROXY) && in.ptr[13] == V2_TCP4)
		needed = 12;
	else if (in.ptr[12] == (0x20 | V2_PROXY) && in.ptr[13] == V2_TCP6)
		needed = 36;
	else if (in.ptr[12] != (0x20 | V2_PROXY) && in.ptr[12] != (0x20 | V2_LOCAL))
		return -EPROTO;
	if (len < needed || len > OA_PROXY_LINE_MAX - V2_HEAD)
		return -EPROTO;
	if (in.len - V2_HEAD < needed)
		return 0;
	if (needed == 12)
		line_set_v4(&ret->client, addresses);
	else if (needed == 36)
		line_set_v6(&ret->client, addresses);
	if (needed)
		ret->client.port = (uint16_t)line_be16(addresses + needed - 4);
	return (long)(V2_HEAD + len);
}

OA_COLD long oa_proxy_line_parse(struct oa_bytes in, struct oa_proxy_line *ret)
{
	struct oa_proxy_line line = { 0 };
	long len = -EPROTO;

	if (line_begins(in, OA_LIT(V1_BEGIN)))
		len = line_v1(in, &line);
	else if (line_begins(in, OA_LIT(V2_BEGIN)))
		len = line_v2(in, &line);
	if (len > 0)
		*ret = line;
	return len;
}
