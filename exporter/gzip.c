#include "exporter/gzip.h"

#include <errno.h>
#include <stdlib.h>

#include <zlib.h>

#define GZIP_LEVEL  1
#define GZIP_WINDOW (15 + 16) /* 32 KiB; + 16: with gzip's header */
#define GZIP_MEM    8

static z_stream gzip_stream;
static bool gzip_ready;
static uint8_t *gzip_buf;
static size_t gzip_bytes;

static int gzip_reserve(size_t bytes)
{
	uint8_t *buf;

	if (bytes <= gzip_bytes)
		return 0;
	buf = realloc(gzip_buf, bytes);
	if (!buf)
		return -ENOMEM;
	gzip_buf = buf;
	gzip_bytes = bytes;
	return 0;
}

int oa_gzip(struct oa_bytes in, struct oa_bytes *ret_out)
{
	if (gzip_ready)
		(void)deflateReset(&gzip_stream);
	else if (deflateInit2(&gzip_stream, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, GZIP_MEM, Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	gzip_ready = true;
	if (gzip_reserve(deflateBound(&gzip_stream, in.len)))
		return -ENOMEM;
	gzip_stream.next_in = (Bytef *)in.ptr;
	gzip_stream.avail_in = (uInt)in.len;
	gzip_stream.next_out = gzip_buf;
	gzip_stream.avail_out = (uInt)gzip_bytes;
	if (deflate(&gzip_stream, Z_FINISH) != Z_STREAM_END)
		return -ENOMEM;
	*ret_out = oa_bytes(gzip_buf, gzip_stream.total_out);
	return 0;
}

void oa_gzip_forget(void)
{
	gzip_stream = (z_stream){ 0 };
	gzip_ready = false;
	gzip_buf = NULL;
	gzip_bytes = 0;
}
