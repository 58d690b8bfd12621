/* What PROXY headers said. An address is kept apart from its connection: few connections have one. */
#include "conn/proxied.h"

#include <errno.h>
#include <sys/uio.h>

#include "conn/feed.h"

#define PROXIED_MAX 0xfff0 /* connections with an address; those beyond have none */

struct proxied {
	uint32_t pool_next;
	struct oa_addr client;
};

static struct oa_pool proxied_pool = OA_POOL(sizeof(struct proxied), 9, PROXIED_MAX);

static struct proxied *proxied_of(const struct oa_conn *c)
{
	return c->proxied && c->proxied <= PROXIED_MAX ? oa_pool_at(&proxied_pool, c->proxied - 1u) : NULL;
}

/* returns what c->proxied is then */
static uint16_t proxied_keep(const struct oa_addr *client)
{
	int64_t index = client->family ? oa_pool_take(&proxied_pool) : -1;

	if (client->family && index < 0)
		oa_stat_inc(OA_STAT_drop_text_pool);
	if (index < 0)
		return OA_PROXIED_NOBODY;
	((struct proxied *)oa_pool_at(&proxied_pool, (uint32_t)index))->client = *client;
	return (uint16_t)(index + 1);
}

OA_COLD struct oa_bytes oa_proxied_client(const struct oa_conn *c)
{
	const struct proxied *p = proxied_of(c);

	return p ? oa_bytes(&p->client, sizeof(p->client)) : (struct oa_bytes){ 0 };
}

OA_COLD void oa_proxied_forget(struct oa_conn *c)
{
	if (proxied_of(c))
		oa_pool_give(&proxied_pool, c->proxied - 1u);
	c->proxied = 0;
}

OA_COLD void oa_proxied_copy(struct oa_conn *to, const struct oa_conn *from)
{
	if (!to->proxied && proxied_of(from))
		to->proxied = proxied_keep(&proxied_of(from)->client);
}

static bool proxied_is_due(const struct oa_conn *c)
{
	return !c->proxied || c->proxied == OA_PROXIED_SENDING;
}

OA_COLD long oa_proxied_take(struct oa_conn *c, bool in, struct oa_bytes first)
{
	struct oa_proxy_line line;
	long len;

	if (!proxied_is_due(c))
		return -EPROTO;
	len = oa_proxy_line_parse(first, &line);
	if (len >= 0 && (!len || (size_t)len > first.len))
		return 0;
	c->proxied = len < 0 ? 0 : in ? proxied_keep(&line.client) : OA_PROXIED_NOBODY;
	return len;
}

/* What they begin with, behind `carried`. *ret_bytes: all of theirs */
static size_t ahead_begin(struct oa_bytes carried, const struct iovec *iov, int iovcnt, uint8_t *to, size_t *ret_bytes)
{
	size_t len = carried.len < OA_PROXY_LINE_BEGIN ? carried.len : OA_PROXY_LINE_BEGIN;

	if (len)
		memcpy(to, carried.ptr, len);
	*ret_bytes = 0;
	for (int i = 0; i < iovcnt; i++) {
		size_t step = iov[i].iov_len < OA_PROXY_LINE_BEGIN - len ? iov[i].iov_len : OA_PROXY_LINE_BEGIN - len;

		if (step)
			memcpy(to + len, iov[i].iov_base, step);
		len += step;
		*ret_bytes += iov[i].iov_len;
	}
	return len;
}

OA_COLD long oa_proxied_ahead(struct oa_conn *c, const struct iovec *iov, int iovcnt)
{
	struct oa_bytes carried = oa_feed_carried(c, OA_DIR_REQUEST);
	uint8_t begin[OA_PROXY_LINE_BEGIN];
	struct oa_proxy_line line;
	size_t len, bytes;
	long header;

	if (!proxied_is_due(c))
		return 0;
	len = ahead_begin(carried, iov, iovcnt, begin, &bytes);
	if (!len || !oa_proxy_line_may_begin(begin[0]))
		return 0;
	header = oa_proxy_line_parse(oa_bytes(begin, len), &line);
	if (header < 0)
		return 0;
	if (!header || carried.len || (size_t)header >= bytes)
		return -EAGAIN;
	c->proxied = OA_PROXIED_SENDING;
	return header;
}
