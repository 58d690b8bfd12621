#include "exporter/gzip.h"

#include <errno.h>
#include <stdlib.h>

#include <zlib.h>

#define GZIP_LEVEL  1
#define GZIP_WINDOW (15 + 16) /* 32 KiB; + 16: with gzip's header */
#define GZIP_MEM    8

static z_stream gzip_stream;
static bool gzip_ready;

static int gzip_reserve(struct oa_gzip_buf *b, size_t bytes)
{
	uint8_t *mem;

	if (bytes <= b->bytes)
		return 0;
	mem = realloc(b->mem, bytes);
	if (!mem)
		return -ENOMEM;
	b->mem = mem;
	b->bytes = bytes;
	return 0;
}

int oa_gzip(struct oa_gzip_buf *buf, struct oa_bytes in, struct oa_bytes *ret_out)
{
	if (gzip_ready)
		(void)deflateReset(&gzip_stream);
	else if (deflateInit2(&gzip_stream, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, GZIP_MEM, Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	gzip_ready = true;
	if (gzip_reserve(buf, deflateBound(&gzip_stream, in.len)))
		return -ENOMEM;
	gzip_stream.next_in = (Bytef *)in.ptr;
	gzip_stream.avail_in = (uInt)in.len;
	gzip_stream.next_out = buf->mem;
	gzip_stream.avail_out = (uInt)buf->bytes;
	if (deflate(&gzip_stream, Z_FINISH) != Z_STREAM_END)
		return -ENOMEM;
	*ret_out = oa_bytes(buf->mem, gzip_stream.total_out);
	return 0;
}

void oa_gzip_forget(void)
{
	gzip_stream = (z_stream){ 0 };
	gzip_ready = false;
}
