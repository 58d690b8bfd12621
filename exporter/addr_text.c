#include "exporter/addr_text.h"

char *oa_decimal(char *out, uint64_t value)
{
	char digits[20];
	unsigned n = 0;

	if (value < 100) { /* octets, most of all */
		if (value >= 10)
			*out++ = (char)('0' + value / 10);
		*out++ = (char)('0' + value % 10);
		return out;
	}
	do
		digits[n++] = (char)('0' + value % 10);
	while (value /= 10);
	while (n)
		*out++ = digits[--n];
	return out;
}

static char *addr_put_hex(char *out, unsigned group)
{
	static const char digits[] = "0123456789abcdef";
	int shift = 12;

	while (shift && !(group >> shift))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		*out++ = digits[group >> shift & 15];
	return out;
}

/* The longest run of zero groups, of two at least, becomes "::". */
static void addr_longest_zeros(const unsigned group[8], unsigned *ret_at, unsigned *ret_len)
{
	*ret_at = 8;
	*ret_len = 1;
	for (unsigned i = 0; i < 8; i++) {
		unsigned len = 0;

		while (i + len < 8 && !group[i + len])
			len++;
		if (len > *ret_len) {
			*ret_at = i;
			*ret_len = len;
		}
	}
}

static char *addr_put_v6(char *out, const uint8_t ip[16])
{
	unsigned group[8], zeros, zeros_len;

	for (unsigned i = 0; i < 8; i++)
		group[i] = (unsigned)ip[2 * i] << 8 | ip[2 * i + 1];
	addr_longest_zeros(group, &zeros, &zeros_len);
	for (unsigned i = 0; i < 8; i++) {
		if (i == zeros) {
			*out++ = ':';
			*out++ = ':';
			i += zeros_len - 1;
			continue;
		}
		if (i && i != zeros + zeros_len)
			*out++ = ':';
		out = addr_put_hex(out, group[i]);
	}
	return out;
}

size_t oa_addr_text(char ret_text[OA_ADDR_TEXT_MAX], const struct oa_addr *addr)
{
	char *out = ret_text;

	if (addr->family == 6)
		out = addr_put_v6(out, addr->ip);
	for (unsigned i = 0; addr->family == 4 && i < 4; i++) {
		if (i)
			*out++ = '.';
		out = oa_decimal(out, addr->ip[i]);
	}
	return (size_t)(out - ret_text);
}

static unsigned authority_port(struct oa_bytes text)
{
	unsigned port = 0;

	for (size_t i = 0; i < text.len; i++) {
		if ((uint8_t)(text.ptr[i] - '0') > 9)
			return 0;
		port = port * 10 + (text.ptr[i] - '0');
		if (port > 65535)
			return 0;
	}
	return port;
}

static struct oa_bytes authority_from(struct oa_bytes text, const uint8_t *at)
{
	return oa_bytes(at, (size_t)(text.ptr + text.len - at));
}

void oa_authority_split(struct oa_bytes text, struct oa_bytes *ret_host, unsigned *ret_port)
{
	const uint8_t *p;

	*ret_port = 0;
	*ret_host = (struct oa_bytes){ 0 };
	text = oa_bytes_trim(text);
	if (text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"')
		text = oa_bytes(text.ptr + 1, text.len - 2);
	if (!text.len)
		return;
	p = memrchr(text.ptr, '@', text.len);
	if (p)
		text = authority_from(text, p + 1);
	if (text.len && text.ptr[0] == '[') {
		p = memchr(text.ptr, ']', text.len);
		if (!p)
			return;
		*ret_host = oa_bytes(text.ptr + 1, (size_t)(p - text.ptr) - 1);
		text = authority_from(text, p + 1);
		if (text.len && text.ptr[0] == ':')
			*ret_port = authority_port(authority_from(text, text.ptr + 1));
		return;
	}
	*ret_host = text;
	p = text.len ? memchr(text.ptr, ':', text.len) : NULL;
	if (!p || memchr(p + 1, ':', (size_t)(text.ptr + text.len - p) - 1))
		return;
	ret_host->len = (size_t)(p - text.ptr);
	*ret_port = authority_port(authority_from(text, p + 1));
}
