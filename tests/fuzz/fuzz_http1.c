/* libFuzzer target: any bytes as either direction of an HTTP/1 connection. */
#include "tests/fuzz/http1_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http1_check check;
	const char *wrong;

	if (!check.guard.map)
		http1_check_init(&check);
	wrong = http1_check_sample(&check, data, size);
	if (!wrong)
		return 0;
	fprintf(stderr, "%s:\n%s-- but the reference says:\n%s", wrong, check.feed.text.ptr, check.expected.ptr);
	abort();
}
