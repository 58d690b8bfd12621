/* libFuzzer target: any bytes as either direction of an HTTP/2 connection, compared with libnghttp2. */
#include "tests/fuzz/http2_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http2_check check;
	const char *wrong;

	if (!check.guard.map)
		http2_check_init(&check);
	wrong = http2_check_sample(&check, data, size);
	if (!wrong)
		return 0;
	fprintf(stderr, "%s:\n%s-- but the reference says:\n%s", wrong, check.feed.text.ptr, check.expected.ptr);
	abort();
}
