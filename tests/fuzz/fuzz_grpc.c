/* libFuzzer target: the payload of a gRPC call, cut as the first byte says, against a reading of the whole. */
#include <stdlib.h>

#include "proto/grpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t whole(const uint8_t *p, size_t len)
{
	uint32_t n = 0;

	while (len >= 5 && p[0] <= 1) {
		uint32_t body = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];

		if (body > len - 5)
			break;
		p += 5 + (size_t)body;
		len -= 5 + (size_t)body;
		n++;
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct oa_grpc g = { 0 };
	uint32_t n = 0;
	size_t step;

	if (size < 2)
		return 0;
	step = data[0] % 16 + 1u;
	for (size_t at = 1; at < size; at += step)
		n += oa_grpc_feed(&g, oa_bytes(data + at, step < size - at ? step : size - at));
	if (n != whole(data + 1, size - 1))
		abort();
	(void)oa_grpc_timeout_ns(oa_bytes(data, size));
	(void)oa_grpc_status(oa_bytes(data, size));
	(void)oa_grpc_content_type(oa_bytes(data, size));
	return 0;
}
